"""Realised acceleration and incoherence: known values, and the ranking of patterns by their side lobes."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest

from deqjax import masks
from deqjax.physics import ifft2c


def test_known_values() -> None:
    one_missing = np.ones((1, 20))
    one_missing[0, 3] = 0
    assert masks.incoherence(one_missing) == pytest.approx(1 / 19)
    assert masks.incoherence(np.arange(20) % 4 == 1) == pytest.approx(1)
    assert masks.incoherence(np.ones((3, 5))) == pytest.approx(0, abs=1e-12)
    assert masks.incoherence(np.ones((1, 1))) == 0


def test_incoherence_is_the_side_lobe_of_the_image_of_a_point() -> None:
    mask = masks.PoissonDisc(4, 0.1)((24, 31), 0)
    spread = np.abs(np.asarray(ifft2c(jnp.asarray(mask.astype(complex)))))
    peak = spread[12, 15]
    spread[12, 15] = 0
    assert masks.incoherence(mask) == pytest.approx(spread.max() / peak, rel=1e-5)


def test_random_lines_are_less_coherent_than_regular_ones_and_points_than_lines() -> None:
    regular = masks.incoherence(masks.KtInterleaved(4, 1e-6, frames=1)((8, 128), 0)[0])
    lines = masks.incoherence(masks.Gaussian1D(4, 0.01, spread=10.0)((8, 128), 0))
    points = masks.incoherence(masks.Gaussian2D(4, 0.01, spread=10.0)((128, 128), 0))
    assert points < 0.1 < lines < 0.6 < 0.9 < regular


def test_a_cine_is_less_coherent_when_its_frames_differ() -> None:
    same = np.repeat(masks.Gaussian1D(8, 0.02, spread=10.0)((8, 96), 0)[None], 16, axis=0)
    other = masks.KtRandom(8, 0.02, frames=16, spread=10.0)((8, 96), 0)
    assert masks.incoherence(other) < 0.5 * masks.incoherence(same)


@pytest.mark.parametrize("function", [masks.incoherence, masks.realised_acceleration])
def test_a_mask_that_samples_nothing_is_an_error(function: Callable[[np.ndarray], float]) -> None:
    with pytest.raises(ValueError, match="samples nothing"):
        function(np.zeros((1, 8)))


@pytest.mark.parametrize("bad", [255, 0.5, -1, np.nan, np.inf, 1j])
def test_masks_of_other_values_raise(bad: complex) -> None:
    for measure in (masks.realised_acceleration, masks.incoherence):
        with pytest.raises(ValueError, match="must hold only 0"):
            measure(np.array([[0, bad, 1, 0]]))
