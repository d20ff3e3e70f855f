"""Bounds on the operator norms of convolutions, as pure functions of the parameters.

As an operator on images of any size with zero padding, a convolution has at most the norm of the symbol of its kernel,

    ||conv|| <= max_w ||K(w)||,   K(w) = sum_j kernel[j] exp(-i <w, j>),   an (out x in) matrix for every frequency w.

The maximum over a grid of n frequencies per axis is smaller than the maximum over all frequencies by a factor of at
most ``1 / cos(pi d / n)`` per axis, where d is the size of the kernel divided by 2, without remainder. One small matrix
per frequency therefore bounds the operator for every image size, also for images that are smaller than the kernel.

A kernel is an array with the name "kernel" or with four axes, (..., in, out), after any number of spatial axes: three
for volumes, two for images, one for signals, and none for a dense layer, whose norm is that of the matrix. Strides,
dilation and groups do not increase the norm.

Sources: H. Sedghi, V. Gupta, P. Long, "The singular values of convolutional layers", ICLR 2019, theorem 5 (the symbol);
L. Pfister and Y. Bresler, "Bounding multivariate trigonometric polynomials", IEEE Trans. Signal Process. 67:700, 2019
(the grid); T. Miyato et al., "Spectral normalization for generative adversarial networks", ICLR 2018, section 2.1 (the
vectors that are kept from one training step to the next); B. Delattre et al., "Efficient bound of Lipschitz constant
for convolutional layers by Gram iteration", ICML 2023, theorem 1.
"""

import math

import jax
import jax.numpy as jnp

from deqjax.types import Params

GRID = 24
"""The number of frequencies per axis. The bound of a 3 x 3 kernel is then at most 1.7 % above its norm.

A kernel that is wider than 7 has more: 8 frequencies for every 2 entries, so that the factor is at most 1.083 per axis.
"""

MARGIN = 1.005
"""A safety factor, because the power iteration lags behind the kernels, which change in every training step."""

Vectors = dict[str, jax.Array]
"""For the path of every kernel, one vector per frequency: (GRID, GRID // 2 + 1, in) complex for a kernel of images."""


def grid_factor(shape: tuple[int, ...], grid: int = GRID) -> float:
    """Bound the ratio of the maximum of a symbol over all frequencies to its maximum over the grid.

    Args:
      shape: the shape of the kernel, (..., in, out).
      grid: the number of frequencies per axis; a wide kernel has more, see :data:`GRID`.

    >>> round(grid_factor((3, 3, 8, 8)), 4), round(grid_factor((31, 31, 8, 8)), 4)
    (1.0173, 1.1716)
    """
    return math.prod(1 / math.cos(math.pi * (size // 2) / n) for size, n in zip(shape, _frequencies(shape, grid)))


def symbol(kernel: jax.Array, grid: int = GRID) -> jax.Array:
    """Compute the matrices K(w) of a kernel (..., in, out): (grid, ..., grid // 2 + 1, in, out), complex.

    The matrices of the other frequencies are the complex conjugates of these.

    >>> symbol(jnp.ones((3, 3, 2, 4))).shape, symbol(jnp.ones((2, 4))).shape
    ((24, 13, 2, 4), (2, 4))
    """
    sizes = _frequencies(kernel.shape, grid)
    if not sizes:
        return kernel.astype(jnp.result_type(kernel.dtype, jnp.complex64))
    return jnp.fft.rfftn(kernel, sizes, axes=tuple(range(len(sizes))))


def init_spectral(params: Params, steps: int = 100) -> Vectors:
    """Make the vectors of the power iteration for every convolution kernel among the parameters.

    Args:
      params: a nested dict with kernels, see the module. Scalars and biases are ignored.
      steps: the number of iterations from random vectors.

    Returns:
      The vectors of every kernel, by the path of the kernel.

    Raises:
      ValueError: a parameter can make the net expand and is not a kernel, such as the scale of a normalisation layer.

    >>> list(init_spectral({"conv": {"kernel": jnp.ones((3, 3, 2, 4))}}))
    ['conv/kernel']
    """
    vectors = {}
    for index, (path, kernel) in enumerate(_bounded_kernels(params).items()):
        shape = jax.eval_shape(symbol, kernel).shape[:-1]
        dtype = jnp.result_type(kernel.dtype, jnp.complex64)
        start = jax.random.normal(jax.random.fold_in(jax.random.key(0), index), shape, dtype)
        vectors[path] = _power_iteration(kernel, start, steps)[1]
    return vectors


def normalise(params: Params, vectors: Vectors, bound: float, steps: int = 1) -> tuple[Params, Vectors]:
    """Scale every kernel so that the estimated norm of its convolution is within a bound.

    ``kernel * min(1, bound / norm)``, where the norm is the maximum of ``||K(w) v||`` over the grid, multiplied by
    :func:`grid_factor` and :data:`MARGIN`. Its gradient treats the vectors v as constants. Call this function once per
    training step, outside the solve.

    Args:
      params: the parameters that are trained.
      vectors: from :func:`init_spectral`, or from the previous step.
      bound: the largest operator norm, > 0.
      steps: the number of power iterations.

    Returns:
      The parameters with the scaled kernels, and the new vectors.

    >>> params = {"conv": {"kernel": jnp.ones((3, 3, 2, 4))}}
    >>> bounded, _ = normalise(params, init_spectral(params), bound=1.0)
    >>> bool(0.97 < operator_norm_bound(bounded["conv"]["kernel"]) <= 1)
    True
    """
    bounded, new_vectors = {}, {}
    for path, kernel in _bounded_kernels(params).items():
        norm, new_vectors[path] = _power_iteration(kernel, vectors[path], steps)
        norm = norm * grid_factor(kernel.shape) * MARGIN
        bounded[path] = kernel * jnp.minimum(1, bound / jnp.maximum(norm, jnp.finfo(kernel.dtype).tiny))
    replaced = jax.tree_util.tree_map_with_path(lambda path, leaf: bounded.get(_name(path), leaf), params)
    return replaced, new_vectors


def operator_norm_bound(kernel: jax.Array, steps: int = 8, grid: int = 48) -> jax.Array:
    """Compute an upper bound on the operator norm of a convolution that is valid for every image size.

    It uses the Gram iteration: ``G <- G^H G`` squares the singular values, so that ``||K|| <= ||G_t||_F^(1 / 2^t)``.
    This bound exceeds the norm by a factor of at most ``rank^(1 / 2^(t + 1))``. In contrast to a power iteration it
    does not depend on initial vectors.

    Args:
      kernel: (..., in, out).
      steps: the number t of iterations. With 8 the bound is at most 0.8 % too large for 64 channels.
      grid: the number of frequencies per axis. 48 adds at most 0.4 % for 3 x 3 kernels. With three spatial axes it is
        halved, to save memory.

    >>> round(float(operator_norm_bound(jnp.ones((3, 3, 1, 1)))), 2)
    9.04
    """
    grid = grid // 2 if kernel.ndim > 4 else grid
    matrices = gram = symbol(kernel, grid)
    if gram.shape[-1] > gram.shape[-2]:
        gram = gram.swapaxes(-1, -2)
    log_norm = jnp.zeros(gram.shape[:-2], kernel.dtype)
    for step in range(steps + 1):
        norm = jnp.linalg.norm(gram, axis=(-2, -1))
        norm = jnp.where(norm > 0, norm, 1)
        log_norm = log_norm + jnp.log(norm) / 2**step
        gram = gram / norm[..., None, None]
        gram = jnp.einsum("...io,...ip->...op", gram.conj(), gram, precision="highest")
    largest = jnp.max(jnp.where(jnp.any(matrices != 0, axis=(-2, -1)), jnp.exp(log_norm), 0))
    return grid_factor(kernel.shape, grid) * largest


def norm_bounds(params: Params) -> dict[str, float]:
    """Compute :func:`operator_norm_bound` of every kernel among the parameters, by the path of the kernel.

    >>> [round(bound, 2) for bound in norm_bounds({"conv": {"kernel": jnp.ones((3, 3, 1, 1))}}).values()]
    [9.04]
    """
    return {path: float(operator_norm_bound(kernel)) for path, kernel in _kernels(params).items()}


def proved_norms(params: Params, grid: int = 48) -> list[jax.Array]:
    """Bound the operator norm of every convolution kernel among the parameters, the rounding of the bound included.

    It is :func:`operator_norm_bound`, enlarged by ``4 n^1.5`` units of rounding, where n is the larger number of
    channels: the products of n x n matrices in that bound have a relative error of at most ``(n + 2) sqrt(n)`` units.

    >>> [round(float(norm), 2) for norm in proved_norms({"conv": {"kernel": jnp.ones((3, 3, 1, 1))}})]
    [9.04]
    """
    rounding = lambda kernel: 4 * max(kernel.shape[-2:]) ** 1.5 * jnp.finfo(kernel.dtype).eps
    return [operator_norm_bound(kernel, grid=grid) * (1 + rounding(kernel)) for kernel in _kernels(params).values()]


def bound_norms(params: Params, bound: float) -> Params:
    """Scale every kernel so that the operator norm of its convolution is provably within a bound.

    ``kernel * min(1, bound / norm)``, where the norm is that of :func:`operator_norm_bound`. It needs no vectors. Use
    it for parameters that are saved.

    Args:
      params: as for :func:`init_spectral`.
      bound: the largest operator norm, > 0.

    Returns:
      The parameters with the scaled kernels.

    Raises:
      ValueError: see :func:`init_spectral`.

    >>> bounded = bound_norms({"conv": {"kernel": jnp.ones((3, 3, 2, 4))}}, bound=1.0)
    >>> round(float(operator_norm_bound(bounded["conv"]["kernel"])), 4)
    1.0
    """
    shrink = lambda kernel: kernel * jnp.minimum(1, bound / operator_norm_bound(kernel))
    bounded = {path: shrink(kernel) for path, kernel in _bounded_kernels(params).items()}
    return jax.tree_util.tree_map_with_path(lambda path, leaf: bounded.get(_name(path), leaf), params)


def _power_iteration(kernel: jax.Array, vectors: jax.Array, steps: int) -> tuple[jax.Array, jax.Array]:
    """Return the grid maximum of ``||K(w) v||`` after steps ``v <- K^H K v / ||K^H K v||``, and the vectors v."""
    matrices = symbol(kernel)
    fixed = jax.lax.stop_gradient(matrices)
    largest = jnp.max(jnp.abs(fixed))
    fixed = fixed / jnp.where(largest > 0, largest, 1)  # otherwise ||K||^4 may overflow or underflow

    def unit(v: jax.Array) -> jax.Array:
        norm = jnp.linalg.norm(v, axis=-1, keepdims=True)
        return v / jnp.where(norm > 0, norm, 1)

    def step(v: jax.Array, _: None) -> tuple[jax.Array, None]:
        image = jnp.einsum("...io,...i->...o", fixed, v)
        moved = unit(jnp.einsum("...io,...o->...i", fixed.conj(), image))
        return jnp.where(jnp.any(moved != 0, axis=-1, keepdims=True), moved, v), None

    vectors, _ = jax.lax.scan(step, unit(jax.lax.stop_gradient(vectors)), length=steps)
    energy = jnp.sum(jnp.abs(jnp.einsum("...io,...i->...o", matrices, vectors)) ** 2, axis=-1)
    largest = jnp.max(energy)
    return jnp.where(largest > 0, jnp.sqrt(jnp.where(largest > 0, largest, 1)), 0), vectors


def _frequencies(shape: tuple[int, ...], grid: int) -> tuple[int, ...]:
    """Return the number of frequencies of every spatial axis of a kernel of this shape."""
    return tuple(max(grid, 8 * (size // 2)) for size in shape[:-2])


def _kernels(params: Params) -> dict[str, jax.Array]:
    """Return the kernels, by path."""
    named = {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    return {name: leaf for name, leaf in named.items() if _is_kernel(name, leaf)}


def _bounded_kernels(params: Params) -> dict[str, jax.Array]:
    """Return the kernels, and raise an error for a parameter beside them whose effect on the norm is unknown."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name, axes = _name(path), getattr(leaf, "ndim", 0)
        if _is_kernel(name, leaf) or (axes < 2 and name.split("/")[-1] != "scale"):
            continue
        raise ValueError(
            f"the norms of the convolutions cannot be bounded: {name} of shape {leaf.shape} is neither a kernel nor a "
            "bias. A normalisation layer may expand by any factor: use a net without one (group_norm=0), or no bound "
            "(run.spectral_bound=0)"
        )
    return _kernels(params)


def _is_kernel(name: str, leaf: jax.Array) -> bool:
    axes = getattr(leaf, "ndim", 0)
    return axes == 4 or (name.split("/")[-1] == "kernel" and 2 <= axes <= 5)


def _name(path: tuple) -> str:
    return "/".join(str(getattr(entry, "key", entry)) for entry in path)
