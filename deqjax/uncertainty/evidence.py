"""What is computed beside an image to judge its error: two deviations, the zero-filled image, and the scale."""

from functools import partial
from typing import Any

import jax

from deqjax.normalisation import EnergyScale
from deqjax.physics import MaskedFourier, Sense, with_whole_mask
from deqjax.pytree import operand
from deqjax.reconstruct import Reconstructor, equilibrium
from deqjax.solvers import Anderson, Stats
from deqjax.types import ForwardModel, Params
from deqjax.uncertainty.bootstrap import bootstrap_deviation
from deqjax.uncertainty.noise import batched, checked_sigma, propagate

PROBES, RESAMPLES = 2, 4
"""Few probes and reconstructions: the scale smooths their deviations, and together they cost about one image."""

PROBE_SOLVER = Anderson(history=5, ridge=1e-2, max_steps=8, rtol=0.1)
RESAMPLE_SOLVER = Anderson(history=5, ridge=1e-2, max_steps=3, rtol=1e-3)


@operand
class Evidence:
    """Images, and what was computed to judge their errors. Every array has a leading batch axis.

    Attributes:
      image: (batch, y, x) complex.
      fixed_point: the image before the finish, which is what a certificate belongs to, (batch, y, x) complex.
      stats: how the solve went.
      zero_filled: ``A^H y``, (batch, y, x) complex.
      scale: the energy scale of the zero-filled image, (batch, 1, 1).
      noise: the deviation by noise, see :func:`deqjax.uncertainty.noise_deviation`, from few probes.
      resampling: the deviation over reconstructions from fewer lines, see
        :func:`deqjax.uncertainty.bootstrap.bootstrap_deviation`.
      products: what both deviations took, in evaluations of the map and in products with its Jacobian, (batch,).
    """

    image: jax.Array
    fixed_point: jax.Array
    stats: Stats
    zero_filled: jax.Array
    scale: jax.Array
    noise: jax.Array
    resampling: jax.Array
    products: jax.Array


def gather(recon: Reconstructor, params: Params, A: ForwardModel, kspace: Any, sigma: Any, key: jax.Array) -> Evidence:
    """Reconstruct one image or a batch, and gather the evidence about its errors in one compiled function.

    Args:
      recon: the method.
      params: its parameters.
      A: a Cartesian forward model of images (y, x).
      kspace: ([batch,] [coil,] y, x) complex.
      sigma: the noise of a sample, see :func:`deqjax.uncertainty.noise_deviation`.
      key: a JAX key.

    Returns:
      The evidence; one image has a batch axis of 1.

    Raises:
      ValueError: A is not MaskedFourier or Sense with images (y, x), or for the reasons of
        :func:`deqjax.uncertainty.noise_deviation`.
    """
    if not isinstance(A, MaskedFourier | Sense) or A.axes != "yx":
        raise ValueError(
            "the uncertainty needs MaskedFourier or Sense with images (y, x), because it leaves out sampled lines; A "
            f"is {type(A).__name__} with the axes {getattr(A, 'axes', None)!r}"
        )
    kspace = recon.checked(params, A, kspace)
    single = kspace.ndim == 2 + isinstance(A, Sense)
    A, kspace = batched(with_whole_mask(A, kspace), kspace, single)
    return _gather(recon, params, A, kspace, checked_sigma(sigma, len(kspace)), key)


@partial(jax.jit, static_argnums=0)
def _gather(
    recon: Reconstructor, params: Params, A: ForwardModel, kspace: jax.Array, sigma: jax.Array, key: jax.Array
) -> Evidence:
    A = recon.forward_model(params, A)
    zero_filled = A.adjoint(kspace)
    found = equilibrium(recon, params, A, zero_filled)
    image = found.units.undo(recon.image(params, found.state, found.args))
    fixed_point = found.units.undo(recon.map.image(found.state))
    keys = jax.random.split(key)
    noise, products = propagate(recon, params, A, kspace, found.state, sigma, keys[0], PROBES, PROBE_SOLVER)
    resampling, steps = bootstrap_deviation(recon, params, A, kspace, found, keys[1], RESAMPLES, RESAMPLE_SOLVER)
    scale = EnergyScale()(zero_filled).scale
    return Evidence(image, fixed_point, found.stats, zero_filled, scale, noise, resampling, products + steps)
