"""Poisson-disc masks: distances between points, the statistics of sigpy's masks, and exact numbers of points."""

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from deqjax import masks
from deqjax.masks.poisson_disc import throw_darts


@pytest.mark.parametrize("size", [(30, 30), (23, 31)])
@pytest.mark.parametrize("jitter", [0.0, 0.5])
def test_darts_keep_their_distance_and_no_more_points_fit(size: tuple[int, int], jitter: float) -> None:
    rng = np.random.RandomState(3)
    y, x = np.mgrid[: size[0], : size[1]]
    radius = 1.2 + 0.15 * x
    jitters = rng.uniform(-jitter, jitter, size=(*size, 2))
    taken = throw_darts(radius, rng.permutation(y.size), jitters)
    points = np.stack([y.ravel(), x.ravel()], axis=1)
    landed, radii = points + jitters.reshape(-1, 2), radius.ravel()
    assert len(set(taken)) == len(taken)
    between = cdist(points[taken], points[taken]) + 1e9 * np.eye(len(taken))
    smaller = np.minimum(radii[taken][:, None], radii[taken][None, :])
    assert (between >= smaller - 2**0.5 * jitter - 1e-9).all()
    covered = (cdist(points[taken], landed) < radii[taken][:, None]).any(axis=0)
    covered[taken] = True
    assert covered.all(), "another point fits"


def test_darts_equal_those_thrown_one_at_a_time_with_equal_radii() -> None:
    rng = np.random.RandomState(0)
    order = rng.permutation(40 * 37)
    blocked, expected = np.zeros((40, 37), bool), []
    y, x = np.mgrid[:40, :37]
    for point in order:
        if not blocked.flat[point]:
            expected.append(point)
            blocked |= np.hypot(y - point // 37, x - point % 37) < 2.6
    taken = throw_darts(np.full((40, 37), 2.6), order, np.zeros((40, 37, 2)))
    assert sorted(taken) == sorted(expected)


def rings(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for five rings around the centre, the sampled fraction and the mean distance to the nearest point."""
    height, width = mask.shape
    y, x = np.mgrid[:height, :width]
    k = np.hypot((y - height // 2) / (height / 2), (x - width // 2) / (width / 2))
    points = np.argwhere(mask > 0)
    nearest, ring = cKDTree(points).query(points, 2)[0][:, 1], k[points[:, 0], points[:, 1]]
    lows = np.arange(0, 1, 0.2)
    sampled = [mask[(low <= k) & (k < low + 0.2)].mean() for low in lows]
    distances = [nearest[(low <= ring) & (ring < low + 0.2)].mean() for low in lows]
    return np.array(sampled), np.array(distances)


@pytest.mark.parametrize("acceleration", [4, 8, 12])
def test_statistics_are_those_of_sigpy(acceleration: float) -> None:
    poisson = pytest.importorskip("sigpy.mri").poisson
    theirs = poisson((128, 128), acceleration, calib=(8, 8), seed=0, dtype=float)
    ours = masks.PoissonDisc(acceleration, 8 / 128)((128, 128), 0)
    for (a, b), tolerance in zip(zip(rings(ours), rings(theirs)), (0.25, 0.15)):
        np.testing.assert_allclose(a, b, rtol=tolerance)
    assert masks.incoherence(ours) < masks.incoherence(theirs) + 0.02


def test_points_are_further_apart_than_independent_ones() -> None:
    disc = masks.PoissonDisc(12, 0.06)((128, 128), 0)
    chance = masks.Gaussian2D(12, 0.06)((128, 128), 0)
    outside = np.ones((128, 128), bool)
    outside[32:96, 32:96] = False
    shortest = [
        cKDTree(np.argwhere((m > 0) & outside)).query(np.argwhere((m > 0) & outside), 2)[0][:, 1].min()
        for m in (disc, chance)
    ]
    assert shortest[0] >= 2
    assert shortest[1] == 1


def test_the_search_ends_with_exactly_the_points_asked_for() -> None:
    for size in ((1, 1), (1, 40), (40, 1), (2, 3), (33, 8), (64, 64)):
        for acceleration in (1, 1.3, 2, 2.7, 5, 30, 1000):
            number = round(size[0] * size[1] / acceleration)
            if number >= 1:
                mask = masks.PoissonDisc(acceleration, 1e-6, corners=True)(size, 0)
                assert mask.sum() == number, (size, acceleration)


def test_points_in_the_corners() -> None:
    without, with_corners = (masks.PoissonDisc(4, 0.1, corners=c)((65, 64), 0) for c in (False, True))
    assert without[:8, :8].sum() == 0
    assert with_corners[:8, :8].sum() > 0
    assert without.sum() == with_corners.sum() == 1040


def test_the_error_names_the_nearest_acceleration() -> None:
    with pytest.raises(ValueError, match=r"acceleration 1.1 .* nearest acceleration is 1\.2\d+; .*corners"):
        masks.PoissonDisc(1.1, 0.1)((64, 64), 0)
    with pytest.raises(ValueError, match=r"acceleration 20 of the grid \(64, 64\) .* nearest acceleration is 4;"):
        masks.PoissonDisc(20, 0.5)((64, 64), 0)
