"""What is proved, and what is only estimated, about the distance of an image to the fixed point of a method.

If f has the Lipschitz constant ``L < 1``, it has exactly one fixed point x*, and every x fulfils

    ||x - x*|| <= ||x - f(x)|| + ||f(x) - f(x*)|| <= ||x - f(x)|| + L ||x - x*||,  hence
    ||x - x*|| <= ||x - f(x)|| / (1 - L).

This holds for every x, wherever it comes from, because nothing about a solver is used: L must be proved, and f must be
evaluated. A distance is *certified* if L is proved, and *estimated* otherwise.

Source: S. Banach, "Sur les operations dans les ensembles abstraits et leur application aux equations integrales",
Fund. Math. 3:133, 1922, theorem 6 (the fixed point).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.distance import LARGEST, can_contract, image_norm, unit_length
from deqjax.pytree import operand
from deqjax.reconstruct import Reconstructor, proved_contraction
from deqjax.solvers import Stats
from deqjax.types import BoundedMap, ForwardModel, MapArgs, Params

ROUNDING = 2.0**16
"""The rounding of one evaluation of f, in units of rounding of ``||x|| + ||f(x)||``.

This many units are the worst case of 100 layers whose sums have 650 terms. In double precision they are 1.5e-11.
"""

OBSERVED_STEPS = 6
"""The evaluations of f from which the contraction of a map without a proved bound is observed."""


@operand
class Certificate:
    """What is known about the distance of an image to the fixed point, with one entry per image.

    Attributes:
      distance: an upper bound on ``||image - fixed point||``, the square root of the sum over all pixels of the squared
        magnitudes of the differences, in the units of the image, (batch,). Where ``certified`` is false it is an
        estimate, and infinite where none can be made.
      contraction: an upper bound on the Lipschitz constant of the map, (batch,). Where ``certified`` is false it is the
        largest observed ratio of successive differences, and NaN if none was observed.
      certified: whether the distance is proved, (batch,).
      psnr_change: how far the PSNR of the image can be from that of the fixed point, in dB, at the error level that was
        stated, (batch,). It is infinite if the distance is not below that error.

    >>> print(Certificate(*(jnp.array([entry]) for entry in (0.02, 0.9, True, 0.1))))
    1 of 1 certified, largest distance 2.0e-02, largest contraction 0.900, PSNR within 0.1 dB
    """

    distance: jax.Array
    contraction: jax.Array
    certified: jax.Array
    psnr_change: jax.Array

    def __str__(self) -> str:
        certified = np.atleast_1d(self.certified)
        return (
            f"{int(certified.sum())} of {certified.size} certified, largest distance "
            f"{float(np.max(self.distance)):.1e}, largest contraction {float(np.max(self.contraction)):.3f}, "
            f"PSNR within {float(np.max(self.psnr_change)):.2g} dB"
        )


def certify(
    recon: Reconstructor,
    params: Params,
    A: ForwardModel,
    kspace: Any,
    image: Any,
    *,
    psnr: float = 35.0,
    contraction: Any = None,
) -> Certificate:
    """Bound the distance of an image to the fixed point of a method, ``(residual + rounding) / (1 - L)``.

    The image may come from any solver, precision, device or file; nothing is assumed about it. The map f is evaluated
    once at the image, in double precision, so that the bound is not limited by the rounding of single precision. L is
    the Lipschitz constant that the map proves from its parameters.

    f is the map with the exact inverse of :class:`~deqjax.maps.HalfQuadratic`. For a forward model without a closed
    form, such as :class:`~deqjax.physics.Sense`, the error of conjugate gradients is a part of the residual: if
    ``||(A^H A + penalty) z - b|| <= e``, then ``||z - f(x)|| <= e / penalty``, and the distance is at most ``(||z - x||
    + e / penalty + rounding) / (1 - L)``. The image of a method with few ``cg_steps`` has a distance to the exact fixed
    point that more steps of the solver do not reduce.

    The image and the fixed point have errors that differ by at most the distance d. At an error E of one of them, their
    PSNR differs by at most ``-20 log10(1 - d / E)``. E is that of an image with the PSNR ``psnr`` and the data range
    ``max |image|``. This also holds for the PSNR of magnitudes.

    For a map without a proved ``L < 1``, the contraction is the largest ratio of successive differences in 6 steps
    ``x <- f(x)`` from the image, and the distance is estimated by the same formula; ``certified`` is then false. Both
    are unknown (NaN and infinity) for maps whose state is not the image, such as ADMM.

    The assumption is that rounding in double precision is at most :data:`ROUNDING` units.

    Args:
      recon: the method, without a ``finish``. The fixed point is what is certified, and a finish changes it by a map
        with no bound: reconstruct with ``recon.replace(finish=None)`` and certify that image.
      params: its parameters.
      A: the forward model.
      kspace: ([batch,] [coil,] y, x) complex.
      image: ([batch,] y, x) complex, in the units of the k-space, as ``recon`` returns it.
      psnr: the error level for ``psnr_change``, in dB.
      contraction: the L of a certified image of the same parameters and of a forward model with the same norm, so
        that it is not proved once more, which takes longer than the evaluation of f. The caller answers for it.

    Returns:
      The certificate, with one entry per image, or with scalars for one image. Its arrays are NumPy's, in double
      precision.

    Raises:
      ValueError: the method has a finish, the image does not have the shape of the reconstruction, certify is called
        inside jit, or for the reasons of :meth:`deqjax.Reconstructor.__call__`.

    >>> import deqjax as dj
    >>> recon = dj.Reconstructor(dj.maps.HalfQuadratic(dj.nets.ConvexPotential(layers=2, features=4, bound=0.9)))
    >>> params = recon.init(jax.random.key(0))
    >>> A = dj.physics.MaskedFourier(jnp.array([[1.0, 0.0, 1.0, 1.0, 1.0]]))
    >>> kspace = A.forward(jnp.ones((4, 5), complex))
    >>> certificate = certify(recon, params, A, kspace, recon(params, A, kspace)[0])
    >>> bool(certificate.certified), round(float(certificate.contraction), 3), bool(certificate.distance < 0.05)
    (True, 0.9, True)
    """
    if recon.finish is not None:
        raise ValueError(
            "the method has a finish, for which no bound is known: certify the fixed point, "
            "method = recon.replace(finish=None); certify(method, params, A, kspace, method(params, A, kspace)[0])"
        )
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((params, A, kspace, image))):
        raise ValueError("certify works in double precision and cannot be traced: call it outside jit, vmap and grad")
    kspace = recon.checked(params, A, kspace)
    expected = jax.eval_shape(A.adjoint, kspace).shape
    if np.shape(image) != expected:
        raise ValueError(f"the image must have the shape {expected} of the reconstruction; it has {np.shape(image)}")
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        params, A, kspace, image = _double((params, A, kspace, image))
        bound = proved_contraction(recon, params, A, kspace) if contraction is None else jnp.float64(contraction)
        found = jax.tree.map(np.asarray, _certify(recon, params, A, kspace, image, psnr, bound))
    single = len(expected) == len(A.axes)
    return jax.tree.map(lambda leaf: leaf[0], found) if single else found


class CertifiedImage(NamedTuple):
    """A reconstruction with the certificate of its fixed point."""

    image: jax.Array
    """After the finish, where the method has one."""
    stats: Stats
    certificate: Certificate | None
    """It belongs to the fixed point before the finish. None where no Lipschitz constant below 1 is proved."""


def reconstruct_certified(
    recon: Reconstructor, params: Params, A: ForwardModel, kspace: Any, contraction: Any = None
) -> CertifiedImage:
    """Reconstruct as ``recon(params, A, kspace)``, with a certificate where the map has a proved contraction.

    Args:
      recon: the method.
      params: its parameters.
      A: the forward model.
      kspace: ([batch,] [coil,] y, x) complex.
      contraction: see :func:`certify`.

    >>> import deqjax as dj
    >>> recon = dj.Reconstructor(dj.maps.HalfQuadratic(dj.nets.UNet(levels=2, features=2)))
    >>> A = dj.physics.MaskedFourier(jnp.ones((1, 8)))
    >>> reconstruct_certified(recon, recon.init(jax.random.key(0)), A, jnp.ones((8, 8), complex)).certificate is None
    True
    """
    if not can_contract(recon.map):
        return CertifiedImage(*recon(params, A, kspace), None)
    image, stats = recon.replace(finish=None)(params, A, kspace)
    found = certify_fixed_point(recon, params, A, kspace, image, contraction)
    if recon.finish is not None:
        image = finish_image(recon, params, A, kspace, image)
    return CertifiedImage(image, stats, found)


def certify_fixed_point(
    recon: Reconstructor, params: Params, A: ForwardModel, kspace: Any, image: Any, contraction: Any = None
) -> Certificate | None:
    """Certify the image before the finish of a method, or return None where no contraction is proved for its map.

    The arguments are those of :func:`certify`, except that the method may have a finish, which is left out.

    >>> import deqjax as dj
    >>> recon = dj.Reconstructor(dj.maps.HalfQuadratic(dj.nets.UNet()))
    >>> certify_fixed_point(recon, {}, dj.physics.MaskedFourier(jnp.ones((1, 8))), None, None) is None
    True
    """
    if not can_contract(recon.map):
        return None
    return certify(recon.replace(finish=None), params, A, kspace, image, contraction=contraction)


def relative_distance(certificate: Certificate, image: Any) -> np.ndarray:
    """Return the distances relative to the norms of the images ([batch,] y, x), one for each image."""
    image = np.asarray(image)
    axes = tuple(range(np.ndim(certificate.distance), image.ndim))
    norm = np.sqrt(np.sum(np.abs(image.astype(np.complex128)) ** 2, axis=axes))
    return np.asarray(certificate.distance) / np.where(norm > 0, norm, 1)


@partial(jax.jit, static_argnums=0)
def finish_image(
    recon: Reconstructor, params: Params, A: ForwardModel, kspace: jax.Array, image: jax.Array
) -> jax.Array:
    """Apply the finish of a method to its fixed point, for a map whose state is the image.

    Args:
      recon: the method.
      params: its parameters.
      A: the forward model.
      kspace: ([batch,] [coil,] y, x) complex.
      image: the fixed point in the units of the k-space, ([batch,] y, x).

    >>> import deqjax as dj
    >>> recon = dj.Reconstructor(dj.maps.ProximalGradient(dj.nets.DnCNN(layers=2, features=4)))
    >>> A = dj.physics.MaskedFourier(jnp.ones((1, 8)))
    >>> image = finish_image(recon, recon.init(jax.random.key(0)), A, jnp.ones((8, 8), complex), jnp.ones((8, 8)) + 0j)
    >>> image.shape
    (8, 8)
    """
    A = recon.forward_model(params, A)
    zero_filled = A.adjoint(kspace)
    single = zero_filled.ndim == len(A.axes)
    zero_filled, image = (zero_filled[None], image[None]) if single else (zero_filled, image)
    args, units = recon.arguments(params, A, zero_filled)
    image = units.undo(recon.image(params, units.apply(image), args))
    return image[0] if single else image


def describe_certificate(certificate: Certificate, image: Any) -> str:
    """Say in a few words how far the fixed point is away at most, relative to the norm of the image.

    >>> certificate = Certificate(*(np.array([entry]) for entry in (0.02, 0.9, True, 0.1)))
    >>> describe_certificate(certificate, np.ones((1, 2, 2)))
    'certified within 1 % of the fixed point'
    """
    word = "certified" if np.all(certificate.certified) else "estimated"
    return f"{word} within {100 * np.max(relative_distance(certificate, image)):.2g} % of the fixed point"


def gradient_error_bound(backward: Stats, contraction: Any) -> jax.Array:
    """Bound the relative error ``||w - w*|| / ||w*||`` of a backward solve, with a proved Lipschitz constant, (batch,).

    The implicit gradient solves ``w = v + J^T w`` with the Jacobian J of f at the solution. ``||J|| <= L``, so that
    ``||w - w*|| <= ||v + J^T w - w|| / (1 - L)``, which is ``d = (residual + rounding) / (1 - L)`` relative to
    ``||w||``, and ``d / (1 - d)`` relative to ``||w*||``. The bound is infinite if d is not below 1 or L not below 1.

    In contrast to the estimate ``backward.error`` it is proved if L is. J is the Jacobian of the f that is computed:
    with conjugate gradients of few steps it is not that of the exact inverse, and its norm has no proved bound. w* is
    the solution at the x that the forward solve returned.

    Args:
      backward: the Stats of the backward solve, the gradient of :func:`deqjax.backward_probe`.
      contraction: L, for example :attr:`Certificate.contraction` where it is certified.

    >>> backward = Stats(jnp.array([5.0]), jnp.array([0.01]), jnp.array([1.0]))
    >>> gradient_error_bound(backward, 0.8).round(3)
    Array([0.053], dtype=float32)
    """
    rounding = 256 * jnp.finfo(backward.residual.dtype).eps
    contraction = jnp.asarray(contraction, backward.residual.dtype)
    distance = (backward.residual + rounding) / (1 - contraction)
    usable = (contraction < 1) & (distance < 1)
    return jnp.where(usable, distance / jnp.where(usable, 1 - distance, 1), jnp.inf)


def _double(tree: Any) -> Any:
    """Convert every floating-point or complex array to double precision."""

    def convert(leaf: Any) -> jax.Array:
        leaf = jnp.asarray(leaf)
        inexact = jnp.issubdtype(leaf.dtype, jnp.inexact)
        return leaf.astype(jnp.promote_types(leaf.dtype, jnp.float64)) if inexact else leaf

    return jax.tree.map(convert, tree)


@partial(jax.jit, static_argnums=0)
def _certify(
    recon: Reconstructor,
    params: Params,
    A: ForwardModel,
    kspace: jax.Array,
    image: jax.Array,
    psnr: jax.Array,
    bound: jax.Array,
) -> Certificate:
    A = recon.forward_model(params, A)
    zero_filled = A.adjoint(kspace)
    if zero_filled.ndim == len(A.axes):
        zero_filled, image = zero_filled[None], image[None]
    args, units = recon.arguments(params, A, zero_filled)
    x = units.apply(image)
    scale = unit_length(units, x)
    residual = jnp.full(x.shape[0], jnp.inf)
    if isinstance(recon.map, BoundedMap):
        z, missing = recon.map.enclose(x, args)
        rounding = ROUNDING * jnp.finfo(x.dtype).eps * (image_norm(x) + image_norm(z))
        residual = image_norm(z - x) + missing + rounding
    certified = (bound <= LARGEST) & jnp.isfinite(residual)
    unknown = jnp.full(x.shape[0], jnp.nan), jnp.full(x.shape[0], jnp.inf)
    observed, estimate = jax.lax.cond(jnp.all(certified), lambda: unknown, lambda: _observe(recon, x, args, unknown))
    contraction = jnp.where(certified, bound, observed)
    distance = jnp.where(certified, residual / jnp.where(bound < 1, 1 - bound, 1), estimate)
    # the last term is rounding, except for an image of which nothing was measured: its units turn every x into 0
    distance = jnp.where(jnp.isfinite(distance), distance * scale, jnp.inf) + image_norm(units.undo(x) - image)
    distance = jnp.where(jnp.isnan(distance), jnp.inf, distance)
    pixels = image[0].size
    peak = jnp.max(jnp.abs(image), axis=tuple(range(1, image.ndim)))
    error = peak * jnp.sqrt(pixels) * 10 ** (-psnr / 20)
    ratio = distance / jnp.where(error > 0, error, 1)
    within = (error > 0) & (ratio < 1)
    change = jnp.where(within, -20 * jnp.log10(jnp.where(within, 1 - ratio, 1)), jnp.inf)
    return Certificate(distance, contraction, certified, jnp.where(distance == 0, 0, change))


def _observe(recon: Reconstructor, x: jax.Array, args: MapArgs, unknown: tuple) -> tuple[jax.Array, jax.Array]:
    """Observe the contraction in steps of the map, and estimate the distance to its fixed point."""
    state = jax.eval_shape(recon.map.start, args)
    if not isinstance(state, jax.ShapeDtypeStruct):
        return unknown

    def step(x: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        following = recon.map(x, args)
        return following, image_norm(following - x)

    _, changes = jax.lax.scan(step, x, length=OBSERVED_STEPS)
    moving = changes[:-1] > 0
    ratios = jnp.where(moving, changes[1:] / jnp.where(moving, changes[:-1], 1), 0)
    contraction = jnp.max(ratios, axis=0)
    below = contraction < 1
    return contraction, jnp.where(below, changes[0] / jnp.where(below, 1 - contraction, 1), jnp.inf)
