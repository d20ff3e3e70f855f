"""Contractions of batches of complex vectors with known fixed points, on which the solvers are tested."""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.solvers import Stats, solve
from deqjax.types import Solver


class Args(NamedTuple):
    """The arguments of ``f(x) = x M + bend x / sqrt(1 + |x|^2) + b``, which is affine if bend is 0."""

    M: Any
    bend: Any
    b: Any


def f(x: Any, args: Args) -> Any:
    moved = jnp.einsum("byx,byxk->bk", x, args.M).reshape(x.shape)
    return moved + args.bend * x / jnp.sqrt(1 + jnp.abs(x) ** 2) + args.b


def problem(bend: float = 0.0, contraction: tuple[float, ...] = (0.3, 0.6, 0.9), seed: int = 0) -> tuple[Args, Any]:
    """Return the arguments of f and its fixed point, for one image per contraction factor."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.normal(size=(3, *shape)) + 1j * rng.normal(size=(3, *shape))
    basis = np.linalg.qr(draw(6, 6))[0]
    eigenvalues = np.linspace(-0.2, 1, 6) * np.array(contraction).reshape(3, 1, 1)
    M = ((basis * eigenvalues) @ basis.conj().swapaxes(1, 2)).reshape(3, 2, 3, 6)
    x = draw(2, 3)
    moved = np.einsum("byx,byxk->bk", x, M).reshape(x.shape)
    args = Args(M, np.array(bend), x - moved - bend * x / np.sqrt(1 + abs(x) ** 2))
    return jax.tree.map(jnp.asarray, args), x


def start(value: float = 0.0) -> jax.Array:
    return jnp.full((3, 2, 3), value, complex)


@partial(jax.jit, static_argnums=0)
def run(solver: Solver, args: Args, x0: jax.Array) -> tuple[jax.Array, Stats]:
    return solve(lambda x: f(x, args), x0, solver)


def residual_of(x: Any, args: Args) -> np.ndarray:
    """The relative residual of every image, in double precision and without the package."""
    wide = lambda leaf: np.asarray(leaf, np.result_type(leaf.dtype, np.float64))
    x, M, bend, b = (wide(leaf) for leaf in (x, *args))
    change = np.einsum("byx,byxk->bk", x, M).reshape(x.shape) + bend * x / np.sqrt(1 + abs(x) ** 2) + b - x
    return np.linalg.norm(change.reshape(3, -1), axis=1) / np.linalg.norm(x.reshape(3, -1), axis=1)


def with_settings(solver: Any, **changes: Any) -> Solver:
    return dataclasses.replace(solver, **changes)


def residuals_of(stats: Stats) -> list[np.ndarray]:
    """The residuals of every image, as far as it was evaluated."""
    assert stats.residuals is not None
    return [np.asarray(row[: int(count)]) for row, count in zip(stats.residuals, stats.num_steps)]
