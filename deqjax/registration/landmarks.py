"""Landmarks: points of the fixed image and the corresponding points of the moving image."""

import csv
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.pytree import operand
from deqjax.registration.grid import Grid


@operand
class Landmarks:
    """Corresponding points, and the weight of the term ``weight mean_i |map(fixed_i) - moving_i|^2``.

    Attributes:
      fixed: points of the fixed image, (n, d), in mm.
      moving: the corresponding points of the moving image, (n, d), in mm.
      weight: the weight of the term, in 1 / mm^2.

    Source: H. Johnson and G. Christensen, "Consistent landmark and intensity-based image registration", IEEE Trans.
    Med. Imaging 21:450, 2002, for landmarks and intensities together.

    >>> points = jnp.array([[0.0, 0.0], [4.0, 0.0]])
    >>> Landmarks(points, points, 0.1).residual(points).tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """

    fixed: jax.Array
    moving: jax.Array
    weight: jax.Array | float = 0.01

    def residual(self, mapped: jax.Array) -> jax.Array:
        """Return the vectors r, (n, d), with ``sum |r|^2 / 2 = weight mean_i |mapped_i - moving_i|^2``."""
        return jnp.sqrt(2 * jnp.asarray(self.weight) / len(self.moving)) * (mapped - self.moving)


def checked_landmarks(landmarks: Landmarks | None, grid: Grid) -> Landmarks | None:
    """Check landmarks, and convert them to the default floating point type.

    Args:
      landmarks: the landmarks, or None.
      grid: the grid of the fixed image.

    Raises:
      ValueError: if there is no point, the points have another dimension than the grid, both sides have different
        numbers of them, a coordinate is not finite, or the weight is negative or not finite.

    >>> checked_landmarks(Landmarks(jnp.zeros((3, 2)), jnp.zeros((2, 2))), Grid.of((4, 4)))
    Traceback (most recent call last):
    ValueError: landmarks: points of shapes (3, 2) and (2, 2): both sides need the shape (n, 2), n > 0
    """
    if landmarks is None:
        return None
    fixed, moving = np.asarray(landmarks.fixed, float), np.asarray(landmarks.moving, float)
    if fixed.ndim != 2 or fixed.shape != moving.shape or fixed.shape[1:] != (grid.ndim,) or len(fixed) == 0:
        shapes = f"landmarks: points of shapes {fixed.shape} and {moving.shape}"
        raise ValueError(f"{shapes}: both sides need the shape (n, {grid.ndim}), n > 0")
    weight = float(landmarks.weight)
    if not (np.isfinite(fixed).all() and np.isfinite(moving).all() and np.isfinite(weight) and weight >= 0):
        raise ValueError(f"landmarks: coordinates and weight {weight} must be finite, and the weight not below 0")
    return Landmarks(jnp.asarray(fixed, float), jnp.asarray(moving, float), jnp.asarray(weight, float))


def read_points(path: Path) -> tuple[np.ndarray, list[dict[str, str]]]:
    """Read points from a CSV file with a header that has the columns x, y and, in 3-D, z.

    Args:
      path: the file.

    Returns:
      The points, (n, d), and all rows as they are.

    Raises:
      ValueError: if it is not a CSV file, the columns or all rows are missing, or a coordinate is not a number.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            columns, table = list(rows.fieldnames or ()), list(rows)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: cannot be read as a CSV file: {error}") from error
    axes = [name for name in ("x", "y", "z") if name in columns]
    if len(axes) < 2 or not table:
        found = f"{len(table)} rows with the columns {', '.join(columns)}"
        raise ValueError(f"{path}: {found}: give a header with x, y[, z], and a row for each point")
    try:
        return np.array([[float(row[name]) for name in axes] for row in table]), table
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: a coordinate is not a number: {error}") from error
