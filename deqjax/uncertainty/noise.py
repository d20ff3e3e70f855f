"""Measurement noise in the image: its standard deviation in every pixel, by linearisation at the fixed point.

The reconstruction is ``x = h(x*, y)`` with ``x* = f(x*, y)``, where f holds the units, the forward model and the map,
and h the finish and the way back to the units of the k-space. By the implicit function theorem, its derivative along b
is

    dR b = dh/dx w + dh/dy b,    w = df/dx w + df/dy b.

For noise ``n ~ CN(0, sigma^2)`` in every sample, the variance of a pixel is ``E |dR n|^2`` to first order. It is the
mean over random probes, each of which takes one linear solve of a few products with the Jacobian. f and h are
linearised once.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from deqjax.physics import complex_noise, with_whole_mask
from deqjax.reconstruct import Reconstructor, equilibrium
from deqjax.solvers import Anderson, solve
from deqjax.types import ForwardModel, Params, Solver, State

PROBE_SOLVER = Anderson(history=8, ridge=1e-2, max_steps=50, rtol=1e-2)
"""Solves the linear equation of a probe. An error of 1 % is far below the sampling error of 32 probes, 9 %."""


def noise_deviation(
    recon: Reconstructor,
    params: Params,
    A: ForwardModel,
    kspace: Any,
    sigma: Any,
    key: jax.Array,
    *,
    probes: int = 32,
    solver: Solver = PROBE_SOLVER,
) -> jax.Array:
    """Compute how far noise of the k-space moves every pixel, ``sqrt(E |dx|^2)`` for noise ``CN(0, sigma^2)``.

    Everything that depends on the k-space takes part: the data consistency, the units (scale and phase of the
    normalisation are not frozen, as they change with the noise; this costs a few Fourier transforms for each probe) and
    the finish. The ``start`` of a method has no effect, because the fixed point does not depend on it. The coil
    sensitivities are held fixed: the noise that they take from calibration lines is not counted.

    The result is *estimated*: first order in sigma, with a relative sampling error of ``1 / (2 sqrt(probes))`` in every
    pixel, 9 % for 32 probes, and of the solver's tolerance.

    Args:
      recon: the method.
      params: its parameters.
      A: the forward model.
      kspace: ([batch,] [coil,] y, x) complex.
      sigma: the standard deviation of the complex noise of a sample, ``E |n|^2 = sigma^2``, in the units of the
        k-space; one number, or one for each image. Coils are uncorrelated and have the same noise, as after
        :func:`deqjax.physics.prewhiten`.
      key: a JAX key.
      probes: the number of random probes. They are computed one after the other by one compiled loop.
      solver: solves the linear equation of each probe.

    Returns:
      The standard deviation of the complex image, real, ([batch,] y, x).

    Raises:
      ValueError: sigma is negative, not finite or has another shape, ``probes`` is below 1, or for the reasons of
        :meth:`deqjax.Reconstructor.__call__`.

    >>> import deqjax as dj
    >>> recon = dj.Reconstructor(dj.maps.HalfQuadratic(dj.nets.DnCNN(layers=2, features=4)))
    >>> A = dj.physics.MaskedFourier(jnp.array([[1.0, 0.0, 1.0, 1.0, 1.0]]))
    >>> kspace = A.forward(jnp.ones((4, 5), complex))
    >>> noise_deviation(recon, recon.init(jax.random.key(0)), A, kspace, 0.1, jax.random.key(1), probes=2).shape
    (4, 5)
    """
    if probes < 1:
        raise ValueError(f"probes must be at least 1; it is {probes}")
    kspace = recon.checked(params, A, kspace)
    images = jax.eval_shape(A.adjoint, kspace).shape
    single = len(images) == len(A.axes)
    sigma = checked_sigma(sigma, 1 if single else images[0])
    A, kspace = batched(with_whole_mask(A, kspace), kspace, single)
    deviation = _noise_deviation(recon, params, A, kspace, sigma, key, probes, solver)
    return deviation[0] if single else deviation


def checked_sigma(sigma: Any, batch: int) -> jax.Array:
    """Return one noise level for each image, (batch,).

    Raises:
      ValueError: sigma is negative, not finite or has another shape.

    >>> checked_sigma(0.5, 2)
    Array([0.5, 0.5], dtype=float32)
    """
    values = jnp.asarray(sigma, float)
    if values.shape not in ((), (batch,)):
        raise ValueError(f"sigma has shape {values.shape}: give one number, or one for each of the {batch} images")
    with jax.ensure_compile_time_eval():
        if not isinstance(values, jax.core.Tracer) and not (jnp.isfinite(values) & (values >= 0)).all():
            raise ValueError(f"sigma must be finite and at least 0; it is {sigma}")
    return jnp.broadcast_to(values, (batch,))


def batched(A: ForwardModel, kspace: jax.Array, single: bool) -> tuple[ForwardModel, jax.Array]:
    """Give one image and the mask of its forward model a batch axis; a batch is returned unchanged.

    >>> from deqjax.physics import MaskedFourier
    >>> A, kspace = batched(MaskedFourier(jnp.ones((4, 5))), jnp.ones((4, 5), complex), single=True)
    >>> A.mask.shape, kspace.shape
    ((1, 4, 5), (1, 4, 5))
    """
    if not single:
        return A, kspace
    if hasattr(A, "mask"):
        A = dataclasses.replace(A, mask=A.mask[None])  # type: ignore[type-var]
    return A, kspace[None]


@partial(jax.jit, static_argnums=(0, 6, 7))
def _noise_deviation(
    recon: Reconstructor,
    params: Params,
    A: ForwardModel,
    kspace: jax.Array,
    sigma: jax.Array,
    key: jax.Array,
    probes: int,
    solver: Solver,
) -> jax.Array:
    A = recon.forward_model(params, A)
    found = equilibrium(recon, params, A, A.adjoint(kspace))
    return propagate(recon, params, A, kspace, found.state, sigma, key, probes, solver)[0]


def propagate(
    recon: Reconstructor,
    params: Params,
    A: ForwardModel,
    kspace: jax.Array,
    state: State,
    sigma: jax.Array,
    key: jax.Array,
    probes: int,
    solver: Solver,
) -> tuple[jax.Array, jax.Array]:
    """Compute the standard deviation of :func:`noise_deviation` at a given fixed point, inside compiled code.

    Args:
      recon: the method.
      params: its parameters.
      A: the forward model, after :meth:`deqjax.Reconstructor.forward_model`.
      kspace: (batch, [coil,] y, x).
      state: the fixed point, from :func:`deqjax.reconstruct.equilibrium`.
      sigma: (batch,).
      key: a JAX key.
      probes: the number of probes.
      solver: of the linear equations.

    Returns:
      The standard deviation, (batch, y, x), and the products with the Jacobian that all probes of an image took,
      (batch,).
    """
    respond = linear_response(recon, params, A, kspace, state, solver)
    level = sigma.reshape(-1, *[1] * (kspace.ndim - 1))

    def add(total: tuple[jax.Array, jax.Array], key: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        change, products = respond(complex_noise(key, kspace, level))
        return (total[0] + jnp.abs(change) ** 2, total[1] + products), None

    shape = jax.eval_shape(A.adjoint, kspace).shape
    start = jnp.zeros(shape, level.dtype), jnp.zeros(shape[0], jnp.int32)
    (total, products), _ = jax.lax.scan(add, start, jax.random.split(key, probes))
    return jnp.sqrt(total / probes), products


def linear_response(
    recon: Reconstructor, params: Params, A: ForwardModel, kspace: jax.Array, state: State, solver: Solver
) -> Callable[[jax.Array], tuple[jax.Array, jax.Array]]:
    """Linearise a reconstruction at its fixed point, once, and return b -> (``dR b``, products with the Jacobian)."""

    def step(state: State, kspace: jax.Array) -> State:
        return recon.map(state, recon.arguments(params, A, A.adjoint(kspace))[0])

    def read(state: State, kspace: jax.Array) -> jax.Array:
        args, units = recon.arguments(params, A, A.adjoint(kspace))
        return units.undo(recon.image(params, state, args))

    drive = jax.linearize(lambda kspace: step(state, kspace), kspace)[1]  # without the derivative of most nets
    product = jax.linearize(lambda state: step(state, kspace), state)[1]
    read_response = jax.linearize(read, state, kspace)[1]

    def respond(b: jax.Array) -> tuple[jax.Array, jax.Array]:
        driven = drive(b)
        w, stats = solve(lambda w: jax.tree.map(jnp.add, driven, product(w)), driven, solver)
        return read_response(w, b), stats.num_steps

    return respond
