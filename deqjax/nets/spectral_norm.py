"""A bound on the norm of every convolution as an operator on images, as pure functions of the parameter tree.

The operator of a kernel, on images of any size with zeros beyond the border, has at most the norm of its symbol

    ||conv|| <= max_w ||K(w)||,   K(w) = sum_j kernel[j] exp(-i <w, j>),   an (out x in) matrix for every frequency,

and on a grid of n x n frequencies the maximum is missed by at most ``1 / cos(pi d / n)`` an axis, where d is half the
width of the kernel, rounded up. So one small matrix a frequency bounds the operator at every image size.

Sources: H. Sedghi, V. Gupta, P. Long, "The singular values of convolutional layers", ICLR 2019, theorem 5 (the symbol);
L. Pfister and Y. Bresler, "Bounding multivariate trigonometric polynomials", IEEE Trans. Signal Process. 67:700, 2019
(the grid); T. Miyato et al., "Spectral normalization for generative adversarial networks", ICLR 2018, section 2.1 (the
vectors carried from step to step); B. Delattre et al., "Efficient bound of Lipschitz constant for convolutional layers
by Gram iteration", ICML 2023, theorem 1.
"""

import math

import jax
import jax.numpy as jnp

from deqjax.types import Params

GRID = 24
"""Frequencies an axis; 3 x 3 kernels are then bounded to 1.7 % above their true norm at most."""

MARGIN = 1.005
"""What is kept in hand for a power iteration that lags behind the training step."""

Vectors = dict[str, jax.Array]
"""For every kernel, by its path, one vector a frequency: (GRID, GRID // 2 + 1, in) complex."""


def grid_factor(shape: tuple[int, ...], grid: int = GRID) -> float:
    """How much larger the symbol of a kernel (kh, kw, in, out) can be between the frequencies of the grid.

    >>> round(grid_factor((3, 3, 8, 8)), 4)
    1.0173
    """
    return math.prod(1 / math.cos(math.pi * (size // 2) / grid) for size in shape[:2])


def symbol(kernel: jax.Array, grid: int = GRID) -> jax.Array:
    """The matrices K(w) of a kernel: (kh, kw, in, out) to (grid, grid // 2 + 1, in, out); the rest are conjugates."""
    return jnp.fft.rfft2(kernel, (grid, grid), axes=(0, 1))


def init_spectral(params: Params, steps: int = 100) -> Vectors:
    """Start the power iteration of every convolution kernel in a parameter tree.

    Args:
      params: a nested dict; the kernels are the arrays of four axes (kh, kw, in, out).
      steps: iterations, enough to forget the start.

    >>> list(init_spectral({"conv": {"kernel": jnp.ones((3, 3, 2, 4))}}))
    ['conv/kernel']
    """
    vectors = {}
    for index, (path, kernel) in enumerate(_kernels(params).items()):
        shape = (GRID, GRID // 2 + 1, kernel.shape[2])
        dtype = jnp.result_type(kernel.dtype, jnp.complex64)
        start = jax.random.normal(jax.random.fold_in(jax.random.key(0), index), shape, dtype)
        vectors[path] = _power_iteration(kernel, start, steps)[1]
    return vectors


def normalise(params: Params, vectors: Vectors, bound: float, steps: int = 1) -> tuple[Params, Vectors]:
    """Shrink every convolution whose norm is above the bound: ``kernel * min(1, bound / norm)``.

    Call it once a training step, outside the solve. The norm is the grid maximum of ``||K(w) v||``, times
    :func:`grid_factor` and :data:`MARGIN`; its gradient holds the vectors fixed.

    Args:
      params: the tree that is trained.
      vectors: from :func:`init_spectral` or the step before.
      bound: largest operator norm allowed, > 0.
      steps: power iterations.

    Returns:
      The tree with bounded kernels, and the new vectors.

    >>> params = {"conv": {"kernel": jnp.ones((3, 3, 2, 4))}}
    >>> bounded, _ = normalise(params, init_spectral(params), bound=1.0)
    >>> bool(0.97 < operator_norm_bound(bounded["conv"]["kernel"]) <= 1)
    True
    """
    bounded, new_vectors = {}, {}
    for path, kernel in _kernels(params).items():
        norm, new_vectors[path] = _power_iteration(kernel, vectors[path], steps)
        norm = norm * grid_factor(kernel.shape) * MARGIN
        bounded[path] = kernel * jnp.minimum(1, bound / jnp.maximum(norm, jnp.finfo(kernel.dtype).tiny))
    replaced = jax.tree_util.tree_map_with_path(lambda path, leaf: bounded.get(_name(path), leaf), params)
    return replaced, new_vectors


def operator_norm_bound(kernel: jax.Array, steps: int = 8, grid: int = 48) -> jax.Array:
    """Bound the operator norm of a convolution from above, at every image size, without luck.

    Gram iteration: ``G <- G^H G`` squares the singular values, so that ``||K|| <= ||G_t||_F^(1 / 2^t)``, from above,
    within a factor ``rank^(1 / 2^(t + 1))``.

    Args:
      kernel: (kh, kw, in, out).
      steps: t; 8 leaves at most 0.8 % at 64 channels.
      grid: frequencies an axis; 48 adds at most 0.4 % for 3 x 3 kernels.

    >>> round(float(operator_norm_bound(jnp.ones((3, 3, 1, 1)))), 2)
    9.04
    """
    gram = symbol(kernel, grid)
    if gram.shape[-1] > gram.shape[-2]:
        gram = gram.swapaxes(-1, -2)
    log_norm = jnp.zeros(gram.shape[:2], kernel.dtype)
    for step in range(steps + 1):
        norm = jnp.linalg.norm(gram, axis=(-2, -1))
        norm = jnp.where(norm > 0, norm, 1)
        log_norm = log_norm + jnp.log(norm) / 2**step
        gram = gram / norm[..., None, None]
        gram = jnp.einsum("yxio,yxip->yxop", gram.conj(), gram)
    largest = jnp.max(jnp.where(jnp.any(symbol(kernel, grid) != 0, axis=(-2, -1)), jnp.exp(log_norm), 0))
    return grid_factor(kernel.shape, grid) * largest


def norm_bounds(params: Params) -> dict[str, float]:
    """Bound every convolution of a parameter tree, by path, with :func:`operator_norm_bound`, for tests and reports."""
    return {path: float(operator_norm_bound(kernel)) for path, kernel in _kernels(params).items()}


def certify(params: Params, bound: float) -> Params:
    """Shrink every convolution whose certified norm is above the bound, ``kernel * min(1, bound / norm)``.

    For parameters that are saved: it needs no vectors, and what it returns is bounded without luck.

    >>> certified = certify({"conv": {"kernel": jnp.ones((3, 3, 2, 4))}}, bound=1.0)
    >>> round(float(operator_norm_bound(certified["conv"]["kernel"])), 4)
    1.0
    """
    shrink = lambda kernel: kernel * jnp.minimum(1, bound / operator_norm_bound(kernel))
    bounded = {path: shrink(kernel) for path, kernel in _kernels(params).items()}
    return jax.tree_util.tree_map_with_path(lambda path, leaf: bounded.get(_name(path), leaf), params)


def _power_iteration(kernel: jax.Array, vectors: jax.Array, steps: int) -> tuple[jax.Array, jax.Array]:
    """The grid maximum of ``||K(w) v||`` after a number of steps ``v <- K^H K v / ||.||``, and the vectors."""
    matrices = symbol(kernel)
    fixed = jax.lax.stop_gradient(matrices)
    largest = jnp.max(jnp.abs(fixed))
    fixed = fixed / jnp.where(largest > 0, largest, 1)  # else ||K||^4 may leave the range of float32, and v stand still

    def unit(v: jax.Array) -> jax.Array:
        norm = jnp.linalg.norm(v, axis=-1, keepdims=True)
        return v / jnp.where(norm > 0, norm, 1)

    def step(v: jax.Array, _: None) -> tuple[jax.Array, None]:
        image = jnp.einsum("yxio,yxi->yxo", fixed, v)
        moved = unit(jnp.einsum("yxio,yxo->yxi", fixed.conj(), image))
        return jnp.where(jnp.any(moved != 0, axis=-1, keepdims=True), moved, v), None

    vectors, _ = jax.lax.scan(step, unit(jax.lax.stop_gradient(vectors)), length=steps)
    energy = jnp.sum(jnp.abs(jnp.einsum("yxio,yxi->yxo", matrices, vectors)) ** 2, axis=-1)
    largest = jnp.max(energy)
    return jnp.where(largest > 0, jnp.sqrt(jnp.where(largest > 0, largest, 1)), 0), vectors


def _kernels(params: Params) -> dict[str, jax.Array]:
    """Return the arrays with four axes, by path."""
    named = {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    return {name: leaf for name, leaf in named.items() if getattr(leaf, "ndim", 0) == 4}


def _name(path: tuple) -> str:
    return "/".join(str(getattr(entry, "key", entry)) for entry in path)
