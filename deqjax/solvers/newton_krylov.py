"""Newton's method with a matrix-free Krylov solver, which asks for the value of f at one point after the other."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from deqjax.scaling import PowerOfTwo, power_of_two_scale

LARGEST_DIFFERENCE = 0.1
"""The largest size of a difference that stands for a derivative, relative to x. A larger one is not local."""


class NewtonKrylovState(NamedTuple):
    """The current Newton iterate, the Krylov subspace at it, and the step that is being tried."""

    base: jax.Array
    """The Newton iterate u, (n,)."""

    residual: jax.Array
    """``g(u) = f(u) - u``, (n,)."""

    vectors: jax.Array
    """The orthonormal Krylov vectors, (history, n). A row that has not been computed yet is zero."""

    hessenberg: jax.Array
    """The Arnoldi matrix, (history + 1, history). Column j is that of the identity shifted down until it is known."""

    known: jax.Array
    """The number of products of the Jacobian that are known at this iterate."""

    move: jax.Array
    """The Newton step that is being tried, (n,)."""

    length: jax.Array
    """The fraction of it that is tried: 0 while the subspace is built, negative for a step that is always taken."""


@dataclass(frozen=True)
class NewtonKrylov:
    """Newton's method for ``g(x) = f(x) - x = 0``, with GMRES for its linear systems, without a Jacobian.

    ``x+ = x + length d`` with ``||g(x) + J d|| <= forcing ||g(x)||``, where J is the Jacobian of g. GMRES needs only
    products with J, which are differences of residuals, ``J v = (g(x + h v) - g(x)) / h`` with ``h = ||g(x)||``. They
    are exact up to rounding if f is affine, and tend to the derivative as the residual tends to 0. A product is one
    evaluation of f and counts as a step of the solve; a Newton step with k products takes k + 1 of them. Every point
    at which f is evaluated may be returned, if its residual is the smallest.

    The length is halved until the residual decreases. If it still does not after ``halvings``, the next iterate is
    ``x + relaxation g(x)``. The method also finds fixed points at which f does not contract.

    Source: D. A. Knoll and D. E. Keyes, "Jacobian-free Newton-Krylov methods: a survey of approaches and applications",
    J. Comput. Phys. 193:357, 2004, sections 2.1 to 2.3 (eq. 10 is the difference); Y. Saad and M. H. Schultz, "GMRES",
    SIAM J. Sci. Stat. Comput. 7:856, 1986, algorithm 3; S. C. Eisenstat and H. F. Walker, "Choosing the forcing terms
    in an inexact Newton method", SIAM J. Sci. Comput. 17:16, 1996, algorithm INB.

    Attributes:
      history: the largest number of products in one Newton step, at least 1.
      forcing: the relative residual at which GMRES stops, in (0, 1).
      relaxation: the weight of the residual in the step that is taken when Newton's step fails.
      halvings: how many times a step is halved, at least 0.
      max_steps: the largest number of evaluations of f, those for products included.
      rtol: the relative residual at which an image stops.

    >>> import deqjax as dj
    >>> x, stats = dj.fixed_point(lambda x, b: 3 * x + b, jnp.zeros((1, 2)), jnp.ones(2), solver=NewtonKrylov())
    >>> x[0].round(3), int(stats.num_steps[0])
    (Array([-0.5, -0.5], dtype=float32), 3)
    """

    history: int = 20
    forcing: float = 0.1
    relaxation: float = 0.5
    halvings: int = 3
    max_steps: int = 50
    rtol: float = 1e-4

    def init(self, x: jax.Array) -> NewtonKrylovState:
        if self.history < 1 or not 0 < self.forcing < 1:
            raise ValueError(
                f"NewtonKrylov needs history >= 1 and 0 < forcing < 1; they are {self.history} and {self.forcing}"
            )
        zero = jnp.zeros_like(x)
        vectors = jnp.zeros((self.history, *x.shape), x.dtype)
        unknown = jnp.eye(self.history + 1, self.history, -1, x.dtype)
        return NewtonKrylovState(zero, zero, vectors, unknown, jnp.array(0), zero, -jnp.ones((), x.dtype))

    def update(
        self, x: jax.Array, fx: jax.Array, step: jax.Array, state: NewtonKrylovState
    ) -> tuple[jax.Array, NewtonKrylovState]:
        residual = fx - x
        scale = power_of_two_scale(state.residual)
        before, now = _norm(scale.apply(state.residual)), _norm(scale.apply(residual))
        probing = state.length == 0
        accepted = ~probing & ((state.length < 0) | (now <= (1 - 1e-4 * state.length) * before))
        choices = self._begin(x, residual), self._extend(residual, state), self._shorten(state)
        state = jax.tree.map(
            lambda begin, extend, shorten: jnp.where(accepted, begin, jnp.where(probing, extend, shorten)), *choices
        )
        probe = _probe(state)
        vector = state.vectors[jnp.minimum(state.known, self.history - 1)]
        move = jnp.where(state.length == 0, probe.times(vector), jnp.abs(state.length) * state.move)
        return state.base + move, state

    def _begin(self, x: jax.Array, residual: jax.Array) -> NewtonKrylovState:
        """Start a Newton step at x."""
        fresh = self.init(x)
        direction = power_of_two_scale(residual).apply(residual)
        vectors = fresh.vectors.at[0].set(direction / _positive(_norm(direction)))
        return fresh._replace(base=x, residual=residual, vectors=vectors, length=jnp.zeros_like(fresh.length))

    def _extend(self, residual: jax.Array, state: NewtonKrylovState) -> NewtonKrylovState:
        """Add the product of J and the newest vector to the subspace, and find the Newton step if that is enough."""
        probe = _probe(state)
        product = probe.scale.apply(residual - state.residual) / probe.size
        rest, column = product, jnp.zeros(self.history, product.dtype)
        for _ in range(2):
            part = jnp.matmul(state.vectors, rest, precision="highest")
            rest, column = rest - jnp.matmul(part, state.vectors, precision="highest"), column + part
        norm = _norm(rest)
        norm = jnp.where(norm > 10 * jnp.finfo(norm.dtype).eps * _norm(product), norm, 0)
        column = jnp.append(column, 0).at[state.known + 1].set(norm)
        hessenberg = state.hessenberg.at[:, state.known].set(column)
        vectors = state.vectors.at[state.known + 1].set(jnp.where(norm > 0, rest / _positive(norm), 0))
        weights, left = _least_squares(hessenberg)
        enough = jnp.maximum(self.forcing, 0.5 * self.rtol * probe.size_of_base / probe.size_of_residual)
        done = (left <= enough) | (state.known + 1 == self.history) | (norm == 0)
        move = probe.scale.undo(probe.size_of_residual * jnp.matmul(weights, state.vectors, precision="highest"))
        return state._replace(
            vectors=vectors,
            hessenberg=hessenberg,
            known=state.known + 1,
            move=jnp.where(done, move, state.move),
            length=jnp.where(done, 1, state.length),
        )

    def _shorten(self, state: NewtonKrylovState) -> NewtonKrylovState:
        """Halve the Newton step, or replace it by a relaxed step."""
        failed = state.length / 2 < 0.5**self.halvings
        return state._replace(
            move=jnp.where(failed, state.residual, state.move),
            length=jnp.where(failed, -self.relaxation, state.length / 2),
        )


class _Probe(NamedTuple):
    """The difference that stands for a derivative: its size, and the unit in which the sizes are given."""

    scale: PowerOfTwo
    size: jax.Array
    size_of_residual: jax.Array
    size_of_base: jax.Array

    def times(self, vector: jax.Array) -> jax.Array:
        return self.scale.undo(self.size * vector)


def _probe(state: NewtonKrylovState) -> _Probe:
    """Choose the size of the differences: that of the residual, limited relative to x on both sides."""
    scale = power_of_two_scale(state.residual)
    of_residual, of_base = _positive(_norm(scale.apply(state.residual))), _norm(scale.apply(state.base))
    smallest, largest = jnp.finfo(of_base.dtype).eps ** (2 / 3) * of_base, LARGEST_DIFFERENCE * of_base
    size = jnp.clip(of_residual, smallest, jnp.where(of_base > 0, largest, jnp.inf))
    return _Probe(scale, size, of_residual, of_base)


def _least_squares(hessenberg: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Minimise ``||e_1 + H y||``, and return y and the minimum. A column that is not known yet has the weight 0."""
    gram = jnp.matmul(hessenberg.T, hessenberg, precision="highest")
    ridge = jnp.finfo(gram.dtype).eps * jnp.max(jnp.diag(gram))
    weights = jnp.linalg.solve(gram + ridge * jnp.eye(len(gram), dtype=gram.dtype), -hessenberg[0])
    return weights, _norm(jnp.matmul(hessenberg, weights, precision="highest").at[0].add(1))


def _norm(v: jax.Array) -> jax.Array:
    energy = v @ v
    return jnp.where(energy > 0, jnp.sqrt(jnp.where(energy > 0, energy, 1)), 0)


def _positive(size: jax.Array) -> jax.Array:
    return jnp.where(size > 0, size, 1)
