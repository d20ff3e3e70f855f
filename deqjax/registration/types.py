"""Protocols of registration: what a map, a transform, a similarity, a regularizer and an optimizer must offer.

Maps are operands (they hold arrays); all others are settings (frozen dataclasses without arrays).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, runtime_checkable

import jax

from deqjax.registration.grid import Grid

if TYPE_CHECKING:
    from deqjax.registration.objective import Objective


class Map(Protocol):
    """An operand that takes points of the fixed image to points of the moving image, in world millimetres."""

    def apply_points(self, points: jax.Array) -> jax.Array:
        """Map points (..., d), in mm."""
        ...

    def displacement(self, grid: Grid) -> jax.Array:
        """Return ``map(x) - x`` at every voxel centre, (*shape, d), in mm."""
        ...

    def inverse(self) -> "Map":
        """Return the map from moving points to fixed points."""
        ...

    def jacobian_determinant(self, points: jax.Array) -> jax.Array:
        """Return the local change of volume at points (..., d): 1 is no change, and below 0 the map folds."""
        ...


class Transform(Protocol):
    """A setting that turns free parameters into a map.

    ``scale`` is the voxel size of a level divided by the voxel size of the last level. A transform may use fewer
    parameters on coarse levels.
    """

    def init(self, grid: Grid, scale: int = 1) -> jax.Array:
        """Return the parameters of the identity on a grid."""
        ...

    def map(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> Map:
        """Return the map that the parameters describe."""
        ...

    def displacement(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> jax.Array:
        """Return ``map(parameters, grid, scale).displacement(grid)``, by a faster computation where there is one."""
        ...

    def refine(self, parameters: jax.Array, finer: jax.Array, ratios: Sequence[float]) -> jax.Array:
        """Convert parameters of one level to those of the next, which have the shape of ``finer``.

        ``scale`` halves from one level to the next, whatever the ratios of the voxel sizes are.

        Args:
          parameters: the parameters of the coarse level.
          finer: the parameters of the identity on the next level.
          ratios: the voxel size of the coarse level divided by that of the next level, for each axis. Both grids have
            the same first voxel.

        Returns:
          Parameters of the same map, in the shape of ``finer``.
        """
        ...

    def field(self, parameters: jax.Array, grid: Grid, scale: int = 1) -> tuple[jax.Array, Grid] | None:
        """Return the vectors (*n, d), in mm, that a regularizer penalises, and their grid; None if there are none."""
        ...


@runtime_checkable
class Network(Protocol):
    """A network that computes the map of two images on one grid; a Flax linen module is one.

    A network with an attribute ``conditional`` that is true also takes the weight of the regularizer, after the grid.
    A network of several levels also has a method ``maps`` that returns the maps of all levels, the coarsest first.
    """

    def init(self, key: jax.Array, fixed: jax.Array, moving: jax.Array, grid: Grid, /) -> Any:
        """Make fresh parameters."""
        ...

    def apply(self, parameters: Any, fixed: jax.Array, moving: jax.Array, grid: Grid, /, *weight: jax.Array) -> Any:
        """Return the map from fixed to moving points, for example a `VelocityMap`."""
        ...


@runtime_checkable
class Similarity(Protocol):
    """A setting that measures how much two images differ: the smaller the value, the more alike they are."""

    def __call__(self, fixed: jax.Array, warped: jax.Array, mask: jax.Array, grid: Grid) -> jax.Array:
        """Return a scalar.

        Args:
          fixed: the fixed image, (*grid.shape). `WeightedSum` also takes images with an axis of channels.
          warped: the warped moving image, in the same shape.
          mask: weights of the voxels in [0, 1], (*grid.shape).
          grid: the grid of all three.
        """
        ...


@runtime_checkable
class LeastSquares(Similarity, Protocol):
    """A similarity that is close to a weighted sum of squares, as Gauss-Newton needs it."""

    def curvature(self, fixed: jax.Array, warped: jax.Array, mask: jax.Array, grid: Grid) -> jax.Array:
        """Return the second derivative with respect to each warped voxel, (*grid.shape); it is never negative."""
        ...


def has_curvature(similarity: Similarity) -> TypeGuard[LeastSquares]:
    """Check that a similarity, and for a sum each of its terms, is a `LeastSquares`."""
    terms = getattr(similarity, "similarities", ())
    return isinstance(similarity, LeastSquares) and all(map(has_curvature, terms))


@runtime_checkable
class Regularizer(Protocol):
    """A setting that measures how rough a field of vectors is."""

    def __call__(self, vectors: jax.Array, grid: Grid) -> jax.Array:
        """Return a scalar for vectors (*grid.shape, d) in mm, either a dense field or control points."""
        ...


class Optimizer(Protocol):
    """A setting that describes how to minimise an `Objective`."""

    def minimise(self, objective: "Objective", start: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Minimise an objective from the parameters ``start``.

        Args:
          objective: the objective of one level.
          start: the initial parameters.

        Returns:
          The final parameters, in the shape of ``start``, and the objective (`Demons`: the relative residual) at every
          step, (steps,), NaN after convergence.
        """
        ...
