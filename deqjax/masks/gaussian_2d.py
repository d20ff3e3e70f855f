"""Points drawn from a normal density in the plane, exactly as many as the acceleration asks for."""

from dataclasses import dataclass

import numpy as np

from deqjax.masks.gaussian_1d import check_spread
from deqjax.masks.lines import Choices, Seed, check_settings, draw_choice, generator
from deqjax.masks.planar import as_planar_mask, center_square, grid_of, number_of_points
from deqjax.masks.weighted_draw import draw_weighted


@dataclass(frozen=True)
class Gaussian2D:
    """Sample the calibration square, and points drawn from a normal density without putting any back.

    Point (y, x) has the weight ``exp(-(v^2 + u^2) / (2 spread^2))`` with ``v = (y - Y // 2) / Y`` and ``u`` likewise
    along x; the square is ``round(size * center_fraction)`` points along each axis, at least one. There are exactly
    ``round(Y X / acceleration)`` points for every seed, the square included. For a 3-D scan (y, x) is (ky, kz).

    ``mask(shape, seed, padding=None)``: shape (..., y, x); float32 (y, x) of zeros and ones; ``padding`` (left, right)
    is the sampled part of a partly acquired k-space along x, zero outside. ``spread`` has no unit.

    Raises ValueError for an acceleration below 1, a centre fraction outside (0, 1], unequal numbers of choices, a
    spread that is not above 0, or a square of more points than the acceleration asks for.

    Source: Lustig, Donoho, Pauly, "Sparse MRI: The application of compressed sensing for rapid MR imaging", Magnetic
    Resonance in Medicine 58:1182-1195, 2007, "Sampling": a density that falls with the distance from the centre.

    >>> mask = Gaussian2D(acceleration=8, center_fraction=0.1)((40, 30), seed=0)
    >>> mask.shape, int(mask.sum()), bool(mask[18:22, 14:17].all())
    ((40, 30), 150, True)
    """

    acceleration: Choices = 4
    center_fraction: Choices = 0.08
    spread: float = 1 / 4

    def __post_init__(self) -> None:
        check_settings(self.acceleration, self.center_fraction)
        check_spread(self.spread)

    def __call__(self, shape: tuple[int, ...], seed: Seed, padding: tuple[int, int] | None = None) -> np.ndarray:
        grid, rng = grid_of(shape), generator(seed)
        acceleration, fraction = draw_choice(rng, self.acceleration, self.center_fraction)
        square = center_square(grid, fraction)
        number = number_of_points(
            grid, acceleration, square.size, int(square.sum()), "lower acceleration or center_fraction"
        )
        v, u = (((np.arange(size) - size // 2) / size) ** 2 for size in grid)
        log_weight = np.where(square, np.inf, -(v[:, None] + u[None, :]) / (2 * self.spread**2))
        return as_planar_mask(draw_weighted(rng, log_weight, number), padding)
