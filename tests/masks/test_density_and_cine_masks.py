"""Variable-density masks and masks for a cine: numbers of samples, densities, frames and errors."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from deqjax import masks
from deqjax.physics import Sense


@pytest.mark.parametrize("pattern", [masks.Gaussian1D, masks.Gaussian2D, masks.PoissonDisc, masks.KtRandom])
@pytest.mark.parametrize("acceleration", [1.5, 4, 7.3])
def test_the_number_of_samples_is_exact(pattern: Any, acceleration: float) -> None:
    for size in [(64, 64), (41, 53), (54, 37)]:
        mask = pattern(acceleration, 0.06)(size, 1)
        for frame in mask if mask.ndim == 3 else mask[None]:
            assert frame.sum() == round(frame.size / acceleration)


@pytest.mark.parametrize(("pattern", "axis"), [(masks.Gaussian1D, (0,)), (masks.Gaussian2D, (0, 1))])
def test_the_spread_is_that_of_the_density(pattern: Any, axis: tuple[int, ...]) -> None:
    """The standard deviation of few draws from a narrow density is ``spread`` times the size."""
    shape = (8, 400) if len(axis) == 1 else (120, 160)
    drawn = np.mean([pattern(50, 1e-6, spread=0.1)(shape, seed) for seed in range(100)], axis=0)
    drawn[..., shape[1] // 2] = 0  # the centre is not drawn
    x = (np.arange(shape[1]) - shape[1] // 2) / shape[1]
    assert np.sqrt((drawn.sum(axis=0) * x**2).sum() / drawn.sum()) == pytest.approx(0.1, rel=0.1)


def test_interleaved_frames_together_sample_every_line_once() -> None:
    mask = masks.KtInterleaved(acceleration=5, center_fraction=1e-6, frames=11)((8, 43), 3)[:, 0]
    without_center = np.delete(mask, 43 // 2, axis=1)
    for first in range(11 - 5):
        assert (without_center[first : first + 5].sum(axis=0) == 1).all()
    assert mask[:, 43 // 2].all()
    assert mask.shape == (11, 43)


def test_a_cine_is_a_batch_with_a_mask_for_each_frame() -> None:
    rng = np.random.default_rng(0)
    cine, smaps = (rng.normal(size=(*lead, 9, 20)) + 1j * rng.normal(size=(*lead, 9, 20)) for lead in ((3,), (2,)))
    mask = masks.KtInterleaved(4, 0.1, frames=3)((9, 20), 0)
    kspace = np.asarray(Sense(jnp.asarray(smaps), jnp.asarray(mask)).forward(jnp.asarray(cine)))
    for frame in range(3):
        alone = Sense(jnp.asarray(smaps), jnp.asarray(mask[frame])).forward(jnp.asarray(cine[frame]))
        np.testing.assert_allclose(kspace[frame], alone, atol=1e-5)
        assert not kspace[frame][..., mask[frame, 0] == 0].any()


def test_frames_of_a_random_cine_differ_and_each_is_dense_in_the_middle() -> None:
    mask = masks.KtRandom(acceleration=4, center_fraction=0.04, frames=40, spread=1 / 6)((8, 80), 0)[:, 0]
    assert len({frame.tobytes() for frame in mask}) == 40
    assert mask[:, 20:60].sum() > 3 * (mask[:, :20].sum() + mask[:, 60:].sum())


@pytest.mark.parametrize("pattern", [masks.Gaussian1D, masks.Gaussian2D, masks.PoissonDisc, masks.Radial, masks.Spiral])
def test_a_centre_of_too_many_samples_is_an_error(pattern: Any) -> None:
    with pytest.raises(ValueError, match="lower acceleration or center"):
        pattern(4, 0.6)((40, 40), 0)


ANY: Any = masks  # settings of the wrong type


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: masks.KtInterleaved(4.5), "whole number"),
        (lambda: masks.KtRandom(frames=0), "frames must be .* got 0"),
        (lambda: ANY.KtInterleaved(frames=2.5), "frames must be"),
        (lambda: masks.Gaussian1D(spread=0.0), "spread must be above 0"),
        (lambda: masks.Gaussian2D(spread=float("inf")), "spread must be above 0"),
    ],
)
def test_bad_settings_of_density_and_frames(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
