"""How much an image depends on which lines were sampled: the deviation over reconstructions with fewer lines."""

import dataclasses

import jax
import jax.numpy as jnp

from deqjax.reconstruct import Equilibrium, Reconstructor
from deqjax.solvers import solve
from deqjax.types import ForwardModel, MapArgs, Params, Solver

DROPPED = 0.1
"""The fraction of the samples outside the centre that each reconstruction leaves out."""

CENTRE = 0.08
"""The width of the centre that is always kept, as a fraction of k-space."""


def bootstrap_deviation(
    recon: Reconstructor,
    params: Params,
    A: ForwardModel,
    kspace: jax.Array,
    found: Equilibrium,
    key: jax.Array,
    resamples: int,
    solver: Solver,
) -> tuple[jax.Array, jax.Array]:
    """Compute the standard deviation over reconstructions from 90 % of the lines, inside compiled code.

    Each of them leaves out a tenth of the lines outside the centre, at random, and starts at the solution for all
    lines, so that it takes only a few evaluations. It ends with the iterate that follows the last evaluation. The units
    of the map are those of all lines. Samples that are not arranged in lines are left out one by one.

    Args:
      recon: the method.
      params: its parameters.
      A: a Cartesian forward model of images (y, x) with a mask for each image, after
        :meth:`deqjax.Reconstructor.forward_model`.
      kspace: (batch, [coil,] y, x).
      found: the solution for all lines, from :func:`deqjax.reconstruct.equilibrium`.
      key: a JAX key.
      resamples: the number of reconstructions, at least 2.
      solver: of these reconstructions; its ``max_steps`` is the number of evaluations of each.

    Returns:
      The standard deviation of the complex image, (batch, y, x), and the evaluations of f that all reconstructions of
      an image took, (batch,).
    """

    def again(total: tuple, key: jax.Array) -> tuple[tuple, None]:
        fewer = dataclasses.replace(A, mask=A.mask * kept_samples(key, A.mask))  # type: ignore[type-var, attr-defined]
        args = MapArgs(found.args.params, found.units.forward_model(fewer), found.units.apply(fewer.adjoint(kspace)))
        state, stats = solve(lambda state: recon.map(state, args), found.state, solver, unroll=True)
        change = found.units.undo(recon.image(params, state, args)) - image
        return (total[0] + change, total[1] + jnp.abs(change) ** 2, total[2] + stats.num_steps), None

    image = found.units.undo(recon.image(params, found.state, found.args))
    start = jnp.zeros_like(image), jnp.zeros_like(image.real), jnp.zeros(len(image), jnp.int32)
    (total, squares, steps), _ = jax.lax.scan(again, start, jax.random.split(key, resamples))
    variance = (squares - jnp.abs(total) ** 2 / resamples) / (resamples - 1)
    return jnp.sqrt(jnp.maximum(variance, 0)), steps


def kept_samples(key: jax.Array, mask: jax.Array) -> jax.Array:
    """Draw which samples of each mask (batch, y, x) are kept: 1 for the centre, and for 90 % of the other lines.

    A mask that is constant along y has lines along y, which are left out as a whole; likewise along x.

    >>> mask = jnp.ones((1, 8, 100))
    >>> kept = kept_samples(jax.random.key(0), mask)
    >>> bool((kept == kept[:, :1]).all()), 75 < float(kept[0, 0].sum()) < 100, float(kept[0, 0, 46:54].min())
    (True, True, 1.0)
    """
    _, y, x = mask.shape
    draws = jax.random.uniform(key, mask.shape)
    columns = jnp.all(mask == mask[:, :1], axis=(1, 2), keepdims=True)
    rows = jnp.all(mask == mask[:, :, :1], axis=(1, 2), keepdims=True) & ~columns
    draws = jnp.where(columns, draws[:, :1], jnp.where(rows, draws[:, :, :1], draws))
    along_y, along_x = (jnp.abs(jnp.arange(size) - size // 2) <= CENTRE / 2 * size for size in (y, x))
    centre = (along_y[:, None] | columns) & (along_x | rows)
    return jnp.where((draws >= DROPPED) | centre, 1, 0).astype(mask.dtype)
