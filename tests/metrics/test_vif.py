"""VIF against sewar's vifp of images with values up to 255."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sewar.full_ref import vifp

from deqjax.metrics import vif


def _pair(shape, kind, noise):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : shape[-2] * 1j, -1 : 1 : shape[-1] * 1j]
    disc = (x**2 + 1.3 * y**2 < 0.6) * (0.9 + 0.1 * np.sin(9 * x))
    contrast = -1 if kind == "inverted" else 1
    target = (rng.random(shape) if kind == "random" else disc) * rng.uniform(0.5, 1, (*shape[:-2], 1, 1))
    return contrast * target + noise * rng.standard_normal(shape), target


@pytest.mark.parametrize(
    ("shape", "dtype"), [((41, 41), "float32"), ((1, 53, 62), "float32"), ((3, 62, 53), "float64")]
)
@pytest.mark.parametrize("kind", ["disc", "random", "inverted"])
@pytest.mark.parametrize("noise", [0.003, 0.1])
def test_equals_sewar(shape, kind, noise, dtype):
    image, target = _pair(shape, kind, noise)
    with jax.enable_x64(dtype == "float64"):
        image, target = jnp.asarray(image, dtype), jnp.asarray(target, dtype)
        found = float(vif(image, target))
    image, target = (np.asarray(volume, float).reshape(-1, *shape[-2:]) for volume in (image, target))
    scale = 255 / target.max()
    expected = np.mean([vifp(scale * t, scale * i) for i, t in zip(image, target, strict=True)])
    assert found == pytest.approx(expected, abs=1e-5 if dtype == "float32" else 1e-8)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e6, 1e36])
def test_vif_does_not_depend_on_the_unit(scale):
    image, target = _pair((2, 50, 50), "disc", 0.05)
    expected = float(vif(image, target))
    assert float(vif(scale * image, scale * target)) == pytest.approx(expected, abs=1e-5)
    halved = float(vif(scale * image, scale * target, data_range=2 * scale * target.max()))
    assert halved > expected + 0.05


def test_flat_targets_contain_no_information_to_lose():
    noisy = np.random.default_rng(0).random((48, 48))
    assert float(vif(noisy, noisy)) == pytest.approx(1, abs=1e-6)
    for level in (0, 0.3, 1000.1):
        assert float(vif(noisy, np.full((48, 48), level))) == 1
    assert float(vif(np.zeros((48, 48)), noisy)) == 0


def test_images_below_the_smallest_size_are_an_error():
    vif(np.ones((41, 41)), np.ones((41, 41)))
    with pytest.raises(ValueError, match=r"\(40, 64\).*41 pixels"):
        jax.jit(vif)(np.ones((40, 64)), np.ones((40, 64)))
