"""Radial and spiral trajectories: the positions of their samples and the areas that the samples represent."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from scipy.special import j0, j1

from deqjax import masks
from deqjax.masks.trajectories import GOLDEN_ANGLE

ORDERS: tuple[Literal["golden"], Literal["uniform"]] = ("golden", "uniform")
ANY: Any = masks  # arguments that the annotations do not allow


def test_spokes_run_through_the_centre_to_the_edge() -> None:
    for shape, samples in (((16, 16), 32), ((15, 21), 7)):
        spokes = masks.radial_trajectory(shape, 5, samples)
        assert spokes.shape == (5, samples, 2)
        assert spokes.dtype == np.float32
        assert (spokes[:, samples // 2] == 0).all()
        scaled = spokes / np.array(shape)
        np.testing.assert_allclose(np.hypot(*scaled[:, 0].T), (samples // 2) / samples, rtol=1e-6)
        steps = np.diff(spokes, axis=1)
        np.testing.assert_allclose(steps, np.broadcast_to(steps[:, :1], steps.shape), atol=1e-5)


def test_angles_of_both_orders() -> None:
    for order, step in ((ORDERS[0], GOLDEN_ANGLE), (ORDERS[1], np.pi / 7)):
        spokes = masks.radial_trajectory((16, 16), 7, order=order, start=0.3)
        angle = np.arctan2(spokes[:, -1, 0], spokes[:, -1, 1])
        expected = 0.3 + step * np.arange(7)
        np.testing.assert_allclose(np.exp(1j * angle), np.exp(1j * expected), atol=1e-5)
    assert np.degrees(GOLDEN_ANGLE) == pytest.approx(111.246, abs=1e-3)


def test_spirals_run_from_the_centre_to_the_edge_without_gaps() -> None:
    for power in (1.0, 2.0):
        spirals = masks.spiral_trajectory((32, 24), turns=6, interleaves=3, power=power, start=0.2)
        assert spirals.shape[::2] == (3, 2)
        assert (np.abs(spirals[:, 0]) < 1e-6).all()
        scaled = spirals / np.array([16, 12])
        np.testing.assert_allclose(np.hypot(*scaled[:, -1].T), 1, rtol=1e-5)
        assert np.linalg.norm(np.diff(spirals, axis=1), axis=-1).max() <= 0.5
        along = np.unwrap(np.arctan2(scaled[0, 1:, 0], scaled[0, 1:, 1]))
        second = (1 / (spirals.shape[1] - 1)) ** (1 / (power + 1))
        assert along[-1] - along[0] == pytest.approx(12 * np.pi * (1 - second), rel=1e-4)
        turned = (scaled[1] @ [1j, 1]) / (scaled[0] @ [1j, 1] + 1e-12)
        np.testing.assert_allclose(turned[5:], np.exp(2j * np.pi / 3), atol=1e-3)


def test_radial_density_is_the_area_of_rings_also_for_uneven_angles() -> None:
    uniform = masks.radial_trajectory((32, 32), 40, 64, order="uniform")
    weights = masks.radial_density(uniform)
    k = np.hypot(uniform[..., 0], uniform[..., 1])
    np.testing.assert_allclose(weights[k > 0.1], (k * 0.5 * np.pi / 40)[k > 0.1], rtol=1e-3)
    np.testing.assert_allclose(weights[:, 32].sum(), np.pi * 0.5**2 / 6, rtol=1e-3)
    for order in ORDERS:
        for shape in ((32, 32), (32, 20)):
            total = masks.radial_density(masks.radial_trajectory(shape, 55, 200, order=order)).sum()
            assert total == pytest.approx(np.pi / 4 * shape[0] * shape[1], rel=0.02)
    uneven = np.concatenate([uniform[:20], uniform[20::4]])
    assert masks.radial_density(uneven)[-2, -1] == pytest.approx(4 * weights[-1, -1], rel=1e-3)


@pytest.mark.parametrize("samples_of_a_cycle", [1, 2, 4])
@pytest.mark.parametrize("radius", [0.3, 0.4])
def test_radial_density_reconstructs_a_disc_without_an_offset(samples_of_a_cycle: int, radius: float) -> None:
    size = 256
    spoke = masks.radial_trajectory((size, size), 8, samples_of_a_cycle * size, order="uniform")
    k = np.hypot(spoke[..., 0], spoke[..., 1]).astype(float)
    transform = np.where(k > 0, radius * j1(2 * np.pi * radius * k) / np.maximum(k, 1e-9), np.pi * radius**2)
    r = np.linspace(0, 0.8 * radius, 30)
    weights = masks.radial_density(spoke) * transform * np.exp(-((k / 60) ** 2))  # smooth, because k-space ends
    found = [np.sum(weights * j0(2 * np.pi * k * distance)) for distance in r]
    np.testing.assert_allclose(np.mean(found), 1, atol=0.005 if samples_of_a_cycle > 1 else 0.04)


def test_density_compensation_of_spokes_and_of_a_grid() -> None:
    spokes = masks.radial_trajectory((32, 32), 60, 64, order="uniform")
    found, ramp = masks.density_compensation(spokes), masks.radial_density(spokes)
    k = np.hypot(spokes[..., 0], spokes[..., 1])
    middle = (k > 2) & (k < 14)
    error = (found / ramp - 1)[middle]
    assert np.sqrt(np.mean(error**2)) < 0.05
    assert np.abs(error).max() < 0.15
    grid = np.stack(np.meshgrid(np.arange(-4, 4), np.arange(-3, 4), indexing="ij"), axis=-1)
    np.testing.assert_allclose(masks.density_compensation(grid), 1)
    np.testing.assert_allclose(masks.density_compensation(np.concatenate([grid, grid[:2]])).sum(), 56, rtol=1e-5)


@pytest.mark.parametrize("kind", ["radial", "spiral"])
def test_the_weighted_adjoint_reconstructs_the_image(kind: str) -> None:
    """The sum over the samples of ``d y exp(2 pi i k r)`` is the image up to its resolution."""
    size = 24
    r = (np.arange(size) - size // 2) / size
    image = np.exp(-(r[:, None] ** 2 + (r[None, :] - 0.1) ** 2) / (2 * 0.12**2))
    if kind == "radial":
        trajectory = masks.radial_trajectory((size, size), 60)
        weights = masks.radial_density(trajectory)
    else:
        trajectory = masks.spiral_trajectory((size, size), turns=24)
        weights = masks.density_compensation(trajectory)
    ky, kx = trajectory.reshape(-1, 2).T
    phase_y, phase_x = np.exp(-2j * np.pi * np.outer(ky, r)), np.exp(-2j * np.pi * np.outer(kx, r))
    kspace = np.einsum("ky,kx,yx->k", phase_y, phase_x, image) / size
    back = np.einsum("k,ky,kx->yx", weights.ravel() * kspace, phase_y.conj(), phase_x.conj()) / size
    assert np.linalg.norm(back - image) < 0.05 * np.linalg.norm(image)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ANY.radial_trajectory((8,), 3), "shape must be"),
        (lambda: masks.radial_trajectory((8, 8), 0), "spokes must be .* got 0"),
        (lambda: masks.radial_trajectory((8, 8), 3, samples=0), "samples must be"),
        (lambda: ANY.radial_trajectory((8, 8), 3, order="silver"), "order must be"),
        (lambda: masks.spiral_trajectory((8, 8), 0.0), "turns must be"),
        (lambda: masks.spiral_trajectory((8, 8), 2.0, power=0.0), "power must be"),
        (lambda: masks.spiral_trajectory((8, 8), 2.0, interleaves=0), "interleaves must be"),
        (lambda: masks.radial_density(np.zeros((3, 4))), r"trajectory must be .* got \(3, 4\)"),
        (lambda: masks.radial_density(np.zeros((3, 4, 2))), "spoke of length zero"),
        (lambda: masks.density_compensation(np.full((3, 4, 2), np.nan)), "NaN"),
        (lambda: masks.density_compensation(np.zeros((3, 4, 2)), steps=0), "steps must be"),
    ],
)
def test_bad_trajectories(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
