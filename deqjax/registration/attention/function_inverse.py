"""Inversion of functions by attention: a softmax of random features finds where a function takes a value."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp


class Attention(NamedTuple):
    """How the queries attend to the points."""

    point_features: jax.Array
    """phi(A(x_i)), one row for each point."""
    query_features: jax.Array
    """phi(v), one row for each query."""
    weights: jax.Array
    """The softmax, (queries, points). Every row sums to 1."""


class FunctionInverse(nn.Module):
    """Invert a function A known at points x_i: ``A^-1(v) = sum_i softmax_i(<phi(v), phi(A(x_i))> / temperature) x_i``.

    With random frequencies w ~ N(0, scale^2) and random phases, F features give
    ``<phi(u), phi(v)> ~ F / 2 exp(-(scale |u - v|)^2 / 2)``, so the softmax weights the points with a Gaussian of width
    ``1 / (scale sqrt(F / (2 temperature)))``. If the width is far below the grid step, the result is the nearest
    neighbour.

    Source: A. Rahimi and B. Recht, "Random features for large-scale kernel machines", NeurIPS 2007, algorithm 1, for
    the features; A. Vaswani et al., "Attention is all you need", NeurIPS 2017, equation 1.

    Attributes:
      features: F, the number of frequencies.
      scale: the standard deviation of the frequencies, in radians per unit of the values of the function.
      cosine: whether each frequency gives ``[sin, cos] / sqrt(2)``, which is exact where points agree, instead of the
        sine alone.
      temperature: the temperature of the softmax. With None it depends on the mean distance h of the n neighbouring
        points so that the width is one grid step: ``F (scale h)^2 / 2``, but at most ``F / (6 log n)``, above which
        distant points would contribute.

    >>> x = jnp.linspace(0.0, 1.0, 101)[:, None]
    >>> inverse = FunctionInverse(features=1000)
    >>> parameters = inverse.init(jax.random.key(0), x**2, x, x)
    >>> bool(jnp.abs(inverse.apply(parameters, x**2, x, jnp.array([[0.25]])) - 0.5) < 0.005)
    True
    """

    features: int = 1000
    scale: float = 59.0
    cosine: bool = True
    temperature: float | None = None

    @nn.compact
    def attention(self, values: jax.Array, points: jax.Array, queries: jax.Array) -> Attention:
        """Compute the features and the attention matrix; the arguments are those of a call."""
        frequencies = self.param("frequencies", nn.initializers.normal(self.scale), (values.shape[-1], self.features))
        phases = self.param("phases", nn.initializers.uniform(2 * jnp.pi), (self.features,))

        def random_features(values: jax.Array) -> jax.Array:
            angles = jnp.matmul(values, frequencies, precision="highest") + phases
            if self.cosine:
                return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1) / jnp.sqrt(2.0)
            return jnp.sin(angles)

        step = jnp.mean(jnp.linalg.norm(jnp.diff(points, axis=0), axis=-1))
        one_step = self.features / 2 * jnp.minimum((self.scale * step) ** 2, 1 / (3 * jnp.log(len(points))))
        found, wanted = random_features(values), random_features(queries)
        logits = jnp.matmul(wanted, found.T, precision="highest")
        weights = jax.nn.softmax(logits / (one_step if self.temperature is None else self.temperature), axis=-1)
        return Attention(found, wanted, weights)

    def __call__(self, values: jax.Array, points: jax.Array, queries: jax.Array) -> jax.Array:
        """Return the points at which the function takes the queried values.

        Args:
          values: A(x_i), (n, c).
          points: x_i, (n, d), ordered so that consecutive points are neighbours.
          queries: v, (m, c).

        Returns:
          (m, d).
        """
        return jnp.matmul(self.attention(values, points, queries).weights, points, precision="highest")


class AttentionRegistration(nn.Module):
    """Find ``Xi = A^-1 o B``, the map with ``A(Xi(x)) = B(x)``, by attention from the values of B to those of A.

    It is equivariant: deforming A by W and B by U changes Xi to ``W^-1 o Xi o U``, to within about one grid step.

    Attributes:
      inverse: the module that inverts A.

    >>> x = jnp.linspace(0.0, 1.0, 101)[:, None]
    >>> register = AttentionRegistration(FunctionInverse(features=1000))
    >>> xi = register.apply(register.init(jax.random.key(0), x, x**2, x), x, x**2, x)
    >>> bool(jnp.mean(jnp.abs(xi - x**2)) < 0.002)
    True
    """

    inverse: FunctionInverse

    def __call__(self, moving: jax.Array, fixed: jax.Array, points: jax.Array) -> jax.Array:
        """Return Xi.

        Args:
          moving: A(x), (n, c).
          fixed: B(x), (n, c).
          points: x, (n, d).

        Returns:
          Xi(x), (n, d).
        """
        return self.inverse(moving, points, fixed)
