"""Simulated measurement noise in k-space."""

import jax

from deqjax.physics.array_checks import zero_one_mask


def complex_noise(key: jax.Array, kspace: jax.Array, level: jax.Array | float) -> jax.Array:
    """Draw circular complex Gaussian noise n with ``E|n|^2 = level^2``.

    The real part and the imaginary part each have the variance ``level^2 / 2``.

    Args:
      key: a JAX key.
      kspace: gives the shape and the data type of the noise.
      level: the standard deviation of real and imaginary part together, in the units of the k-space. In the image the
        noise has the same standard deviation, because the Fourier transform is orthonormal.

    Returns:
      The noise, with the shape and the data type of the k-space.

    >>> import jax.numpy as jnp
    >>> noise = complex_noise(jax.random.key(0), jnp.zeros((64, 64), complex), 2.0)
    >>> 1.9 < float(jnp.sqrt(jnp.mean(jnp.abs(noise) ** 2))) < 2.1
    True
    """
    return level * jax.random.normal(key, kspace.shape, kspace.dtype)


def add_noise(key: jax.Array, kspace: jax.Array, mask: jax.Array, level: jax.Array | float) -> jax.Array:
    """Add complex noise to the sampled points of k-space only; samples outside the mask do not change.

    Args:
      key: a JAX key.
      kspace: (..., y, x) masked k-space.
      mask: 0 and 1; it broadcasts against the k-space. Noise is added where it is 1.
      level: the standard deviation of the complex noise, see :func:`complex_noise`.

    Returns:
      The noisy k-space, with the shape of the k-space.

    Raises:
      ValueError: the mask holds another value than 0 and 1.

    >>> import jax.numpy as jnp
    >>> mask = jnp.array([1.0, 0.0, 1.0])
    >>> noisy = add_noise(jax.random.key(0), jnp.zeros((2, 3), complex), mask, 1.0)
    >>> bool((noisy[:, 1] == 0).all() and (noisy[:, 0] != 0).all())
    True
    """
    return kspace + (zero_one_mask(mask) != 0) * complex_noise(key, kspace, level)
