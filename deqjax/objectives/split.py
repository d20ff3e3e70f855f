"""Learning from one acquisition of each object: reconstruct from some of its samples, compare with the others."""

from dataclasses import dataclass, field
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from deqjax.data import MeasuredBatch
from deqjax.jacobian_penalty import JacobianPenalty
from deqjax.masks import density
from deqjax.objectives.measurements import (
    Sample,
    folded,
    measurement_objective,
    noise_like,
    pattern_of,
    with_coil_axis,
)
from deqjax.objectives.supervised import Problem
from deqjax.reconstruct import Reconstructor
from deqjax.solvers import Stats
from deqjax.types import ForwardModel, ObjectiveFunction, Params


@dataclass(frozen=True)
class Split:
    """Hold out some of the measured lines: reconstruct from the other lines, and compare with those held out.

    The measured lines are divided into the input and the target, at random and independently of each other. The central
    lines always belong to the input. Everything that was measured is used at inference.

    * ``loss = "l1_l2"``: SSDU (Yaman et al. 2020), :func:`deqjax.losses.kspace_l1_l2`.
    * ``loss = "l2"``: the squared error.
    * ``loss = "weighted_l2"``: the squared error with the weights ``1 / (1 - K)``, ``K = (1 - P) / (1 - P_t P)``, where
      P is the density of the mask and P_t that of the input among the measured lines. Its minimiser is that of the
      fully sampled squared error, if every line is sampled with P > 0 (Millard and Chiew 2023).
    * ``noisier`` above 0, with ``weighted_l2``: Robust SSDU. More noise of ``noisier`` times the level of the noise is
      added to the input, and the input lines are compared as well, with the weight ``(1 + 1 / noisier^2)^2``. At
      inference, :func:`noisier_image` corrects the input lines (Millard and Chiew 2024).

    Sources: B. Yaman et al., "Self-supervised learning of physics-guided reconstruction neural networks without fully
    sampled reference data", Magn. Reson. Med. 84:3172, 2020, which holds out points, 40 % of them; B. Yaman et al.,
    "Multi-mask self-supervised learning for physics-guided neural networks in highly accelerated MRI", NMR Biomed.
    35:e4798, 2022 (``splits``); C. Millard and M. Chiew, "A theoretical framework for self-supervised MR image
    reconstruction using sub-sampling via variable density Noisier2Noise", IEEE Trans. Comput. Imaging 9:707, 2023; C.
    Millard and M. Chiew, "Clean self-supervised MRI reconstruction from noisy, sub-sampled training data with Robust
    SSDU", Bioengineering 11:1305, 2024.

    Attributes:
      held_out: range of the fraction of the measured lines that are held out; it is drawn for each image.
      points: hold out points and not lines. They have an axis y, so that the input has a mask of points.
      keep: the number of central lines that are never held out; of points, the square of that size.
      splits: the number of splits of each slice, of which a step draws one; 0 for a new split in every step.
      loss: see above.
      noisier: the level of the noise that is added, relative to that of the data; 0 adds none.
      jacobian: the penalty that keeps the map contracting.

    Raises:
      ValueError: a fraction is outside (0, 1), the weights of the theory are asked for with a range of fractions, or
        noise is added with another loss than ``weighted_l2``.

    >>> Split(held_out=(0.4, 0.4), loss="weighted_l2").acquisitions
    1
    """

    held_out: tuple[float, float] = (0.2, 0.5)
    points: bool = False
    keep: int = 8
    splits: int = 0
    loss: Literal["l1_l2", "l2", "weighted_l2"] = "l1_l2"
    noisier: float = 0.0
    jacobian: JacobianPenalty = field(default_factory=JacobianPenalty)
    acquisitions = 1

    def __post_init__(self) -> None:
        if not 0 < self.held_out[0] <= self.held_out[1] < 1:
            raise ValueError(f"held_out must be a range of fractions in (0, 1); it is {self.held_out}")
        if self.keep < 1 or self.splits < 0 or self.noisier < 0:
            raise ValueError(
                f"need keep >= 1, splits >= 0 and noisier >= 0; got {self.keep}, {self.splits}, {self.noisier}"
            )
        if self.loss == "weighted_l2" and self.held_out[0] != self.held_out[1]:
            raise ValueError(f"weighted_l2 needs one fraction, held_out = [0.4, 0.4]; it is {self.held_out}")
        if self.noisier and self.loss != "weighted_l2":
            raise ValueError(f'noisier needs loss = "weighted_l2"; the loss is {self.loss!r}')

    def sample(self, problem: Problem, batch: MeasuredBatch, keys: jax.Array) -> Sample:
        """Divide the measured samples into input and target."""
        kspace, mask = batch.kspace, batch.mask
        shape = (kspace.shape[-2] if self.points else mask.shape[-2], kspace.shape[-1])
        centre = self._centre(shape)

        def draw(key: jax.Array, number: jax.Array) -> jax.Array:
            if self.splits:
                choice = jax.random.randint(key, (), 0, self.splits)
                key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), number), choice)
            fraction_key, key = jax.random.split(key)
            fraction = jax.random.uniform(fraction_key, (), minval=self.held_out[0], maxval=self.held_out[1])
            return jnp.where(centre, False, jax.random.uniform(key, shape) < fraction)

        out = mask * jax.vmap(draw)(keys, batch.number)
        kept = mask - out
        weight = out
        if self.loss == "weighted_l2":
            P = density(pattern_of(problem), shape)
            weight = out * subset_weight(P, jnp.where(centre, 1, 1 - self.held_out[0]))
        seen = with_coil_axis(kept, kspace) * kspace
        if self.noisier:
            weight = weight + kept * (1 + self.noisier**-2) ** 2
            seen = seen + self.noisier * noise_like(folded(keys, 1), kspace, kept, batch.sigma)
        return Sample(seen, kept, kspace, weight, "l1_l2" if self.loss == "l1_l2" else "l2")

    def _centre(self, shape: tuple[int, int]) -> jax.Array:
        """Return where the central lines are, or the central square of points."""
        near = [
            jnp.abs(jnp.arange(size) - size // 2 + 0.5 * (self.keep % 2 == 0)) < self.keep / 2 + 1e-3 for size in shape
        ]
        return near[0][:, None] & near[1] if shape[0] > 1 else near[1][None]

    def bind(self, problem: Problem) -> ObjectiveFunction:
        """Make the function of the parameters."""
        return measurement_objective(problem, self, self.jacobian)


def subset_weight(density: ArrayLike, kept: ArrayLike) -> jax.Array:
    """Return ``1 / (1 - K)`` with ``K = (1 - P) / (1 - P_t P)``, the weight of lines that are held out.

    K is the probability that a line which is not in the input was not measured at all, so that ``1 / (1 - K)`` makes up
    for it. It equals ``(1 - P_t P) / (P (1 - P_t))``.

    Args:
      density: P, the density of the mask.
      kept: P_t, the fraction of the measured lines that belongs to the input; where it is 1, the weight is 0.

    Source: C. Millard and M. Chiew, IEEE Trans. Comput. Imaging 9:707, 2023.

    >>> subset_weight(jnp.array([0.5, 1.0]), jnp.array([0.5, 1.0]))
    Array([3., 0.], dtype=float32)
    """
    density, kept = jnp.asarray(density), jnp.asarray(kept)
    found = density * (1 - kept)
    return jnp.where(found > 0, (1 - kept * density) / jnp.maximum(found, 1e-6), 0)


def noisier_image(
    recon: Reconstructor,
    params: Params,
    A: ForwardModel,
    kspace: jax.Array,
    sigma: jax.Array,
    noisier: float,
    keys: jax.Array,
) -> tuple[jax.Array, Stats]:
    """Reconstruct as a method trained with ``Split(noisier=...)`` is to be used, with the correction for the noise.

    More noise is added, ``y' = y + noisier sigma n``, and on the sampled points the predicted k-space becomes
    ``((1 + noisier^2) A x - y') / noisier^2``, which estimates the k-space without any noise. For any coils this is
    ``x + A^H (A x - y') / noisier^2``.

    Args:
      recon: the method.
      params: its parameters.
      A: the forward model of a batch.
      kspace: (batch, [coil,] y, x).
      sigma: (batch,), the standard deviation of the complex noise in the k-space.
      noisier: as in training.
      keys: one JAX key per image.

    Source: C. Millard and M. Chiew, Bioengineering 11:1305, 2024 (Robust SSDU); N. Moran et al., "Noisier2Noise:
    learning to denoise from unpaired noisy data", CVPR 2020.
    """
    noisy = kspace + noisier * noise_like(keys, kspace, A.mask, sigma)  # type: ignore[attr-defined]
    image, stats = recon(params, A, noisy)
    return image + A.adjoint(A.forward(image) - noisy) / noisier**2, stats
