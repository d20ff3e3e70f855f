"""Solvers for the linear algebra of forward models: conjugate gradients and the largest eigenvalue."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from deqjax.scaling import power_of_two_scale
from deqjax.types import ForwardModel

_ROUNDING = 16
"""A residual below this many units of rounding, relative to the right-hand side, counts as zero."""


def conjugate_gradient(
    operator: Callable[[jax.Array], jax.Array], image: jax.Array, steps: int, dimensions: int = 2
) -> jax.Array:
    """Solve ``B z = x`` by a fixed number of conjugate gradient steps from zero, for each image separately.

    The number of steps is fixed, so that the result is a fixed function of the arguments. Its forward and reverse
    derivatives are those of the computed result, whether or not the iteration has converged. An image whose residual is
    at rounding relative to the right-hand side does not change in later steps, and has the derivative of the exact
    solution. Each image is scaled by a power of two, so that its units do not matter.

    After n steps, at most ``2 ((sqrt(k) - 1) / (sqrt(k) + 1))^n`` of the error remains in the norm of B, where k is the
    condition number of B. For ``B = A^H A + penalty I`` it is at most ``1 + m / penalty``, where m is the largest
    eigenvalue of ``A^H A``; that is 1 for coil sensitivities whose sum of squares is 1, and the largest sum of squares
    otherwise. An error of 1 % therefore needs at most 9 steps at ``penalty = 0.1 m``, 27 at ``0.01 m`` and 84 at
    ``0.001 m``. Sensitivities of unequal sum of squares make the problem ill-conditioned where that sum is small:
    normalise them, or take more steps than the usual 10.

    Args:
      operator: B, Hermitian positive definite, on arrays (..., y, x).
      image: the right-hand side x, (..., y, x).
      steps: the number of steps, at least 1.
      dimensions: the number of trailing axes of one image: 2 for images, 3 for volumes and series.

    Returns:
      The approximate solution z, with the shape of the image.

    Source: M. R. Hestenes and E. Stiefel, "Methods of conjugate gradients for solving linear systems", J. Res. Natl.
    Bur. Stand. 49:409, 1952, section 3.

    >>> float(conjugate_gradient(lambda z: 4 * z, jnp.ones((2, 2)), steps=1)[0, 0])
    0.25
    """
    axes = tuple(range(-dimensions, 0))
    scale = power_of_two_scale(image, axes)
    step = lambda state, _: (_step(operator, axes, state), None)
    last, _ = jax.lax.scan(step, _start(scale.apply(image), axes), length=steps)

    # The steps after an exact solution would differentiate rounding errors, so they are left out. What the derivative
    # then lacks is B^-1 applied to the derivative of the residual.
    residual = jnp.where(last.solved, last.residual, 0)
    convert, constants = jax.closure_convert(operator, image)
    return scale.undo(last.solution + _derivative_of_solved(convert, axes, steps, residual, constants))


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _derivative_of_solved(
    operator: Callable[..., jax.Array], axes: tuple[int, ...], steps: int, residual: jax.Array, constants: list
) -> jax.Array:
    """Return zeros with the derivative ``B^-1 dr`` for a residual r that is zero up to rounding."""
    del operator, axes, steps, constants
    return jnp.zeros_like(residual)


@_derivative_of_solved.defjvp
def _(
    operator: Callable[..., jax.Array], axes: tuple[int, ...], steps: int, primals: tuple, tangents: tuple
) -> tuple[jax.Array, jax.Array]:
    residual, constants = primals
    solve = partial(_solve, axes=axes, steps=steps)
    tangent = jax.lax.custom_linear_solve(lambda z: operator(z, *constants), tangents[0], solve, solve)
    return jnp.zeros_like(residual), tangent


class _State(NamedTuple):
    """The state of conjugate gradients; the last three have size 1 along the axes of an image."""

    solution: jax.Array
    residual: jax.Array
    direction: jax.Array
    energy: jax.Array
    first_energy: jax.Array
    solved: jax.Array


def _start(image: jax.Array, axes: tuple[int, ...]) -> _State:
    """Start from zero."""
    energy = _inner(image, image, axes)
    return _State(jnp.zeros_like(image), image, image, energy, jax.lax.stop_gradient(energy), energy < 0)


def _at_rounding(state: _State) -> jax.Array:
    """Tell for each image whether the residual is at rounding relative to the right-hand side."""
    return state.energy <= (_ROUNDING * jnp.finfo(state.energy.dtype).eps) ** 2 * state.first_energy


def _step(operator: Callable[[jax.Array], jax.Array], axes: tuple[int, ...], state: _State) -> _State:
    """Make one step; an image that is solved, or for which the operator is not positive, does not change."""
    solution, residual, direction, energy, first_energy, _ = state
    solved = _at_rounding(state)
    image_of_direction = operator(direction)
    curvature = _inner(direction, image_of_direction, axes)
    done = solved | (curvature <= 0)
    length = jnp.where(done, 0, energy / jnp.where(done, 1, curvature))
    solution = solution + length * direction
    residual = residual - length * image_of_direction
    new_energy = _inner(residual, residual, axes)
    ratio = new_energy / jnp.where(done, 1, energy)
    direction = jnp.where(done, direction, residual + ratio * direction)
    return _State(solution, residual, direction, jnp.where(done, energy, new_energy), first_energy, solved)


def _solve(
    operator: Callable[[jax.Array], jax.Array], image: jax.Array, axes: tuple[int, ...], steps: int
) -> jax.Array:
    """Solve ``B z = x`` by at most ``steps`` steps, without a derivative; no step is made for images of zeros."""
    scale = power_of_two_scale(image, axes)

    def unsolved(carry: tuple[jax.Array, _State]) -> jax.Array:
        return (carry[0] < steps) & ~jnp.all(_at_rounding(carry[1]))

    def step(carry: tuple[jax.Array, _State]) -> tuple[jax.Array, _State]:
        return carry[0] + 1, _step(operator, axes, carry[1])

    return scale.undo(jax.lax.while_loop(unsolved, step, (jnp.array(0), _start(scale.apply(image), axes)))[1].solution)


def _inner(a: jax.Array, b: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    return jnp.sum((jnp.conj(a) * b).real, axis=axes, keepdims=True)


@partial(jax.jit, static_argnames=("shape", "steps"))
def largest_eigenvalue(A: ForwardModel, key: jax.Array, shape: tuple[int, ...], steps: int = 30) -> jax.Array:
    """Estimate the largest eigenvalue of ``A^H A`` by power iteration: ``x <- A^H A x / ||A^H A x||``.

    Args:
      A: a forward model.
      key: a JAX key, for the first image.
      shape: the shape of one image, for instance (y, x).
      steps: the number of steps, at least 1. The estimate never exceeds the eigenvalue, and is slightly below it after
        few steps.

    Returns:
      A real number without unit. A :class:`NonCartesian` with its density divided by this number has the norm 1.

    Source: G. H. Golub and C. F. Van Loan, "Matrix Computations", 4th edition, 2013, section 7.3.1.

    >>> from deqjax.physics import MaskedFourier
    >>> float(largest_eigenvalue(MaskedFourier(jnp.ones((1, 8))), jax.random.key(0), (8, 8)).round(3))
    1.0
    """

    def step(image: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        scale = power_of_two_scale(image)
        image = scale.apply(image)
        norm = jnp.linalg.norm(image)
        return A.normal(image / jnp.where(norm > 0, norm, 1)), jnp.squeeze(scale.undo(norm))

    first = jax.random.normal(key, shape, complex)
    return jax.lax.scan(step, first, length=steps + 1)[1][-1]
