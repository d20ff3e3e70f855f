"""Consistency of a reconstruction with itself: measured again by another operator, it must be found again."""

import dataclasses
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from deqjax.data import MeasuredBatch
from deqjax.jacobian_penalty import JacobianPenalty
from deqjax.masks import drawn_masks
from deqjax.objectives.measurements import (
    DataConsistency,
    Predicted,
    folded,
    measurement_objective,
    noise_like,
    pattern_of,
    scale_of,
)
from deqjax.objectives.supervised import Problem
from deqjax.reconstruct import Reconstructor, equilibrium
from deqjax.types import ForwardModel, ObjectiveFunction, Params, Sampler

POOL = 64
"""The number of masks from which the other operators are drawn."""


@dataclass(frozen=True)
class MultiOperatorImaging:
    """Reconstruct, measure the result by another mask, reconstruct again, and compare the two images.

    ``x_1 = R(y, M)``, ``x_3 = R(M' F S x_1 + n', M')``; the objective is that of ``data`` for x_1 plus
    ``weight mean |x_3 - x_1|^2``, in the units of the map. The gradient goes through both fixed points. The mask M' is
    drawn from the sampling pattern of the data, so that the lines that M left out are learned from objects whose masks
    have them; the data must have different masks.

    Source: J. Tachella, D. Chen, M. Davies, "Unsupervised learning from incomplete measurements for inverse problems",
    NeurIPS 2022.

    Attributes:
      weight: of the consistency.
      data: how x_1 is compared with the data. For noisy data, use R2R or Split. Its own ``jacobian`` is not used.
      noise: whether noise of the level of the data is added to the second measurement.
      jacobian: the penalty that keeps the map contracting.

    >>> MultiOperatorImaging().acquisitions
    1
    """

    weight: float = 1.0
    data: Sampler = field(default_factory=DataConsistency)
    noise: bool = True
    jacobian: JacobianPenalty = field(default_factory=JacobianPenalty)

    @property
    def acquisitions(self) -> int:
        """The number of acquisitions of every object that the data term needs."""
        return self.data.acquisitions

    def bind(self, problem: Problem) -> ObjectiveFunction:
        """Make the function of the parameters.

        Raises:
          ValueError: the problem has no sampling pattern.
        """
        pattern = pattern_of(problem)

        def consistency(
            recon: Reconstructor, params: Params, first: Predicted, batch: MeasuredBatch, keys: jax.Array
        ) -> jax.Array:
            pool = jnp.asarray(drawn_masks(pattern, batch.kspace.shape[-2:], POOL))  # type: ignore[arg-type]
            chosen = jax.vmap(lambda key: jax.random.randint(key, (), 0, POOL))(keys)
            A = dataclasses.replace(first.A, mask=pool[chosen])  # type: ignore[type-var]
            again = _measured_again(recon, params, A, first.image, batch, folded(keys, 1), self.noise)
            return self.weight * _mean_square((again - first.image) / scale_of(first))

        return measurement_objective(problem, self.data, self.jacobian, consistency)


@dataclass(frozen=True)
class EquivariantImaging:
    """Reconstruct, rotate the result, measure and reconstruct it again, and compare the two images.

    ``x_1 = R(y, M)``, ``x_2 = T x_1`` with a rotation T by a random angle, ``x_3 = R(M F S x_2 + n', M)``. The
    objective is that of ``data`` for x_1 plus ``weight mean |x_3 - x_2|^2``, in the units of the map. The gradient goes
    through both fixed points. Shifts, and flips with a symmetric mask, would teach nothing, because they commute with
    the measurement. The complex image is rotated, and the coil sensitivities are not.

    Source: D. Chen, J. Tachella, M. Davies, "Equivariant imaging: learning beyond the range space", ICCV 2021.

    Attributes:
      weight: of the consistency.
      degrees: the largest angle of the rotation, either way. Corners that were outside the image are 0.
      data: how x_1 is compared with the data. Its own ``jacobian`` is not used.
      noise: whether noise of the level of the data is added to the second measurement.
      jacobian: the penalty that keeps the map contracting.

    >>> EquivariantImaging(degrees=20.0).acquisitions
    1
    """

    weight: float = 1.0
    degrees: float = 10.0
    data: Sampler = field(default_factory=DataConsistency)
    noise: bool = True
    jacobian: JacobianPenalty = field(default_factory=JacobianPenalty)

    @property
    def acquisitions(self) -> int:
        """The number of acquisitions of every object that the data term needs."""
        return self.data.acquisitions

    def bind(self, problem: Problem) -> ObjectiveFunction:
        """Make the function of the parameters."""

        def consistency(
            recon: Reconstructor, params: Params, first: Predicted, batch: MeasuredBatch, keys: jax.Array
        ) -> jax.Array:
            limit = jnp.deg2rad(self.degrees)
            angles = jax.vmap(lambda key: jax.random.uniform(key, (), minval=-limit, maxval=limit))(keys)
            turned = jax.vmap(rotate)(first.image, angles)
            A = dataclasses.replace(first.A, mask=batch.mask)  # type: ignore[type-var]
            again = _measured_again(recon, params, A, turned, batch, folded(keys, 1), self.noise)
            return self.weight * _mean_square((again - turned) / scale_of(first))

        return measurement_objective(problem, self.data, self.jacobian, consistency)


def rotate(image: jax.Array, angle: jax.Array) -> jax.Array:
    """Rotate an image (y, x) about its centre by bilinear interpolation; what comes from outside is 0.

    Args:
      image: real or complex.
      angle: in radians, from y to x.

    >>> rotate(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.pi / 2).round()
    Array([[3., 1.],
           [4., 2.]], dtype=float32)
    """
    y, x = (jnp.arange(size) - (size - 1) / 2 for size in image.shape)
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    rows = cosine * y[:, None] - sine * x + (image.shape[0] - 1) / 2
    columns = sine * y[:, None] + cosine * x + (image.shape[1] - 1) / 2
    # a rotation by 90 degrees must not lose the border to rounding
    places = [jnp.round(place * 1024) / 1024 for place in (rows, columns)]
    return map_coordinates(image, places, order=1)


def _measured_again(
    recon: Reconstructor,
    params: Params,
    A: ForwardModel,
    image: jax.Array,
    batch: MeasuredBatch,
    keys: jax.Array,
    noise: bool,
) -> jax.Array:
    """Measure images by a forward model, and reconstruct them."""
    kspace = A.forward(image)
    if noise:
        kspace = kspace + noise_like(keys, kspace, A.mask, batch.sigma)  # type: ignore[attr-defined]
    found = equilibrium(recon, params, A, A.adjoint(kspace))
    return found.units.undo(recon.image(params, found.state, found.args))


def _mean_square(image: jax.Array) -> jax.Array:
    return jnp.mean(image.real**2 + image.imag**2)
