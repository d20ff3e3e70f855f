"""The models that come with the package: their size, their model card, and the quality that it reports."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import deqjax as dj
from deqjax import model_folders

REAL = Path(__file__).parents[2] / "shared/data/val/siat_s4_ax.h5"
LEAST_GAIN = {"brain": 3.0, "brain-certified": 1.5, "brain-dncnn": 2.0, "brain-small": 3.0}
"""The smallest PSNR gain over zero-filled images, in dB, on the first real slices at 4x. The cards have the mean."""

each_model = pytest.mark.parametrize("name", dj.models())


@pytest.fixture(scope="module")
def slice_and_mask() -> tuple[np.ndarray, jnp.ndarray]:
    kspace = dj.data.phantom_volume(3, (1, 96, 81)).kspace[0]
    return kspace, jnp.asarray(dj.masks.CartesianRandom(4, 0.08)(kspace.shape, "phantom"))


def test_models_lists_the_names_and_load_reports_them() -> None:
    assert dj.models() == sorted(LEAST_GAIN)
    with pytest.raises(ValueError, match="come with deqjax are brain, brain-certified, brain-dncnn, brain-small"):
        dj.load("brian")


@each_model
def test_a_model_is_small_and_has_a_complete_card(name: str) -> None:
    folder = model_folders.find(name)
    assert (folder / "params.npz").stat().st_size < 6e6
    card = (folder / "README.md").read_text()
    for word in ("Data", "Terms", "Command", "seed", "Numbers", "Limits"):
        assert word in card, word
    assert "shared/data" not in (folder / "config.toml").read_text()


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("brain", "brain-certified", "brain-dncnn")),
        "brain-small",
    ],
)
def test_a_model_converges_at_every_scale(name: str, slice_and_mask: tuple) -> None:
    kspace, mask = slice_and_mask
    recon, params = dj.load(name)
    A = dj.physics.MaskedFourier(mask)
    image, stats = recon(params, A, mask * kspace)
    assert bool(stats.converged)
    assert int(stats.num_steps) <= 40
    for factor in (1e-6, 1e6):
        scaled, _ = recon(params, A, factor * mask * kspace)
        assert np.linalg.norm(scaled / factor - image) < 5e-3 * np.linalg.norm(image)
    target = jnp.abs(dj.physics.ifft2c(jnp.asarray(kspace)))
    better, start = (dj.metrics.psnr(jnp.abs(x), target) for x in (image, A.adjoint(mask * kspace)))
    assert better > start + 1


def test_reconstruct_kspace_uses_a_model(slice_and_mask: tuple) -> None:
    kspace, mask = slice_and_mask
    image, stats = dj.reconstruct_kspace(mask * kspace, mask, model="brain-small")
    assert image.shape == kspace.shape
    assert bool(stats.converged)


@pytest.mark.slow
def test_the_contraction_of_brain_certified_is_proved(slice_and_mask: tuple) -> None:
    kspace, mask = slice_and_mask
    result = dj.reconstruct_kspace(mask * kspace, mask, model="brain-certified")
    assert result.certificate is not None
    assert bool(result.certificate.certified)
    assert float(result.certificate.contraction) == pytest.approx(0.95)
    assert result.certificate.distance < 0.05 * np.linalg.norm(result.image)
    assert "certified within" in result.verdict


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("brain", "brain-certified", "brain-dncnn")),
        "brain-small",
    ],
)
@pytest.mark.skipif(not REAL.exists(), reason="the real slices are not available")
def test_a_model_reaches_its_gain_on_real_slices(name: str) -> None:
    scan = dj.data.read_volume(REAL, (0, 1))
    mask = jnp.asarray(dj.masks.CartesianRandom(4, 0.08)(scan.kspace.shape[-2:], scan.name))
    recon, params = dj.load(name)
    A = dj.physics.MaskedFourier(mask)
    image, stats = recon(params, A, mask * scan.kspace)
    assert bool(stats.converged.all())
    target = jnp.abs(dj.physics.ifft2c(jnp.asarray(scan.kspace)))
    gain = dj.metrics.psnr(jnp.abs(image), target) - dj.metrics.psnr(jnp.abs(A.adjoint(mask * scan.kspace)), target)
    assert gain > LEAST_GAIN[name]
