"""Change between two scans of one person: the volume of each label, from the map between the scans."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from deqjax.registration.grid import Grid
from deqjax.registration.measures import volume_change
from deqjax.registration.types import Map


class LabelChange(NamedTuple):
    """The change of one label.

    Attributes:
      label: the number of the label.
      before: its volume in the first scan, in mm^3; mm^2 in 2-D.
      after: the volume of the same tissue in the second scan, ``sum_x det J(x)`` times the volume of a voxel.
      percent: ``100 (after / before - 1)``.
      mean_log_jacobian: the mean of ``log det J`` over the label; above 0 for growth.
      folded: the fraction of the label in which the map folds; these voxels do not count in the mean.
    """

    label: int
    before: float
    after: float
    percent: float
    mean_log_jacobian: float
    folded: float


def label_changes(mapping: Map, labels: ArrayLike, grid: Grid) -> list[LabelChange]:
    """Return the change of every label but 0, in the order of their numbers.

    Args:
      mapping: the map from points of the first scan to points of the second, for example the result of `register`
        with the first scan as the fixed image.
      labels: the labels of the first scan, (*grid.shape), integers.
      grid: the grid of the labels.

    Raises:
      ValueError: if the labels and the grid have different shapes.

    Source: J. Ashburner and K. Friston, "Voxel-based morphometry: the methods", NeuroImage 11:805, 2000, for the
    integral of the determinant.

    >>> from deqjax.registration.transforms import LinearMap
    >>> growth = LinearMap(1.1 * jnp.eye(2), jnp.zeros(2))
    >>> [change] = label_changes(growth, np.eye(4, dtype=int), Grid.of((4, 4), spacing=2.0))
    >>> change.label, change.before, round(change.percent, 2)
    (1, 16.0, 21.0)
    """
    labels = np.asarray(labels)
    if labels.shape != grid.shape:
        raise ValueError(f"labels of shape {labels.shape} on a grid of shape {grid.shape}: they must agree")
    jacobian = np.asarray(volume_change(mapping.displacement(grid), grid), np.float64)
    voxel = float(abs(jnp.linalg.det(grid.affine[:-1, :-1])))
    changes = []
    for label in np.unique(labels[labels != 0]):
        inside = jacobian[labels == label]
        upright = inside > 0
        mean = float(np.mean(np.log(inside[upright]))) if upright.any() else float("nan")
        before, after = voxel * inside.size, voxel * float(inside.sum())
        changes.append(
            LabelChange(int(label), before, after, 100 * (after / before - 1), mean, float(1 - upright.mean()))
        )
    return changes
