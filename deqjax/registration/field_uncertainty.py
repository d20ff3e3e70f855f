"""How uncertain the map of a registration is: the standard deviation of its displacement at every voxel."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from deqjax.registration.grid import Grid
from deqjax.registration.inputs import Images, checked_pair, settings_with_defaults
from deqjax.registration.interpolation import Order
from deqjax.registration.landmarks import Landmarks
from deqjax.registration.multiresolution import Pair, Registration, Settings, level_objective
from deqjax.registration.optimizers import Demons, SyN
from deqjax.registration.stages import Stage
from deqjax.registration.types import Map, has_curvature

PROBES = 16
"""The number of random vectors from which the diagonal of the Hessian is estimated."""


def field_deviation(
    found: Registration,
    fixed: Images,
    moving: Images,
    stage: Stage,
    mask: ArrayLike | None = None,
    init: Map | None = None,
    *,
    fixed_grid: Grid | None = None,
    moving_grid: Grid | None = None,
    order: Order = 1,
    moving_mask: ArrayLike | None = None,
    landmarks: Landmarks | None = None,
    correlated: float = 1.0,
    samples: int = 64,
    products: int = 64,
) -> tuple[jax.Array, Grid]:
    """Estimate the standard deviation of the displacement that a stage found, by the Gauss-Newton Hessian.

    With the Hessian H of the objective E at the result, the parameters p have the normal distribution with the
    covariance ``t H^-1`` (the Laplace approximation), and the displacement ``B p`` has the covariance ``t B H^-1 B^T``.
    The scale t turns the objective into a negative logarithm of a probability: ``t = 2 S / n``, where S is the
    similarity at the result and n the number of independent residuals. For `MSE` this is ``2 s^2 / n`` with the
    variance ``s^2`` of the residuals, so that the deviation is proportional to the noise. Nothing else is assumed about
    the noise, but its residuals have to be independent and of one variance, the regularizer has to be the true prior,
    and the result has to be the right minimum: a registration that is wrong by a fold of the cortex can have a small
    deviation. What remains different in two people is no noise, and it is correlated: there, compare deviations with
    one another, and do not read them as mm.

    H is not stored. Each sample of ``H^(-1/2) z``, z normal, takes some products with H (Lanczos, with the diagonal of
    H as preconditioner), and the deviation is the root mean square of ``sqrt(t) B H^(-1/2) z``. The relative error of
    its sampling is ``1 / sqrt(2 samples)``. Too few products make the deviation too small where it is large.

    Args:
      found: the result of ``register`` or ``register_stages`` for the arguments below.
      fixed: see `deqjax.registration.register`.
      moving: see `deqjax.registration.register`.
      stage: the settings of the stage, such as that of `deqjax.registration.stages.named_stage`.
      mask: see `deqjax.registration.register`.
      init: the map with which the stage started; the deviation is that of the map of the stage alone.
      fixed_grid: see `deqjax.registration.register`.
      moving_grid: see `deqjax.registration.register`.
      order: see `deqjax.registration.register`.
      moving_mask: see `deqjax.registration.register`.
      landmarks: see `deqjax.registration.register`.
      correlated: the number of neighbouring voxels whose residuals count as one; the deviation grows with its root.
      samples: the number of samples.
      products: the number of products with H for each of them; at least the number of parameters gives exact samples.

    Returns:
      The deviation along each axis of the world, (*grid.shape, d), in mm, and the grid of the last level.

    Raises:
      ValueError: if the similarity has no curvature, the optimizer minimises no objective, a lattice of parameters has
        no regularizer, or as `deqjax.registration.register`.

    Sources: I. Simpson et al., "Probabilistic inference of regularisation in non-rigid registration", NeuroImage
    59:2438, 2012, for the normal distribution; E. Chow and Y. Saad, "Preconditioned Krylov subspace methods for
    sampling multivariate Gaussian distributions", SIAM J. Sci. Comput. 36:A588, 2014, section 2, for the samples.

    >>> from deqjax.registration import register
    >>> from deqjax.registration.similarities import MSE
    >>> from deqjax.registration.transforms import Translation
    >>> points, stage = Grid.of((16, 16)).points(), Stage(Translation(), MSE(), levels=(1.0,))
    >>> fixed, moving = (jnp.exp(-jnp.sum((points - centre) ** 2, -1) / 20) for centre in (7.0, 8.0))
    >>> found = register(fixed, moving, stage.transform, stage.similarity, levels=stage.levels)
    >>> deviation, grid = field_deviation(found, fixed, moving, stage, samples=4)
    >>> deviation.shape, bool(jnp.all(deviation < 0.01))
    ((16, 16, 2), True)
    """
    pair, fixed_grid, moving_grid = checked_pair(
        fixed, moving, fixed_grid, moving_grid, mask, moving_mask, init, landmarks
    )
    methods = stage.transform, stage.similarity, stage.regularizer, stage.levels, stage.optimizer
    settings, _ = settings_with_defaults(pair, fixed_grid, moving_grid, *methods, order)
    if not has_curvature(settings.similarity) or isinstance(settings.optimizer, (Demons, SyN)):
        raise ValueError(
            f"the deviation needs a similarity with a curvature, not {settings.similarity}, and an optimizer that "
            f"minimises it, not {type(settings.optimizer).__name__}"
        )
    if found.parameters.ndim > 1 and settings.regularizer is None:
        raise ValueError(f"the deviation of {settings.transform} needs a regularizer: without one it has no bound")
    arrays = found.parameters, pair, fixed_grid, moving_grid, jnp.asarray(correlated, float)
    return _deviation(*arrays, settings=settings, samples=samples, products=products)


@partial(jax.jit, static_argnames=("settings", "samples", "products"))
def _deviation(
    parameters: jax.Array,
    pair: Pair,
    fixed_grid: Grid,
    moving_grid: Grid,
    correlated: jax.Array,
    settings: Settings,
    samples: int,
    products: int,
) -> tuple[jax.Array, Grid]:
    objective = level_objective(pair, fixed_grid, moving_grid, settings.plan[-1], settings)
    displacement, push = jax.linearize(objective.displacement, parameters)
    warped, mask = objective.warped(displacement)
    terms = len(getattr(settings.similarity, "similarities", (None,)))
    residuals = terms * jnp.sum(mask) ** 2 / jnp.sum(mask**2) / correlated
    scale = 2 * objective.similarity(objective.fixed, warped, mask, objective.fixed_grid) / residuals
    product = objective.quadratic(parameters).product
    hessian = lambda flat: product(flat.reshape(parameters.shape)).ravel()
    keys = jax.random.split(jax.random.key(0), 2)
    signs = jax.random.rademacher(keys[0], (PROBES, parameters.size), parameters.dtype)
    diagonal = jnp.mean(signs * jax.lax.map(hessian, signs), axis=0)
    diagonal = jnp.maximum(diagonal, 0.05 * jnp.mean(jnp.abs(diagonal)))

    def add(total: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
        z = jax.random.normal(key, (parameters.size,), parameters.dtype)
        sample = inverse_root_product(hessian, diagonal, z, min(products, parameters.size))
        return total + push(sample.reshape(parameters.shape)) ** 2, None

    total, _ = jax.lax.scan(add, jnp.zeros_like(displacement), jax.random.split(keys[1], samples))
    return jnp.sqrt(scale * total / samples), objective.fixed_grid


def inverse_root_product(
    product: Callable[[jax.Array], jax.Array], diagonal: jax.Array, z: jax.Array, products: int
) -> jax.Array:
    """Return ``R z`` with ``R R^T = H^-1`` by the method of Lanczos, for a positive definite H.

    With D a positive diagonal, ``R = D^(-1/2) (D^(-1/2) H D^(-1/2))^(-1/2)``, and the inverse root is taken of the
    tridiagonal matrix of the Krylov space of z, with full orthogonalisation.

    Args:
      product: the function p -> H p, of (n,).
      diagonal: D, (n,), close to the diagonal of H.
      z: (n,).
      products: the number of products; n gives ``R z`` up to rounding.

    Source: Chow and Saad 2014, see `field_deviation`, equation 2.3.

    >>> hessian = jnp.diag(jnp.array([4.0, 16.0]))
    >>> inverse_root_product(lambda p: hessian @ p, jnp.ones(2), jnp.ones(2), 2).round(4)
    Array([0.5 , 0.25], dtype=float32)
    """
    root = jnp.sqrt(diagonal)
    scaled = lambda p: product(p / root) / root
    length = jnp.linalg.norm(z)
    tiny = 100 * jnp.finfo(z.dtype).eps

    def step(
        carry: tuple[jax.Array, jax.Array, jax.Array], k: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
        basis, vector, largest = carry
        basis = basis.at[k].set(vector)
        image = scaled(vector)
        alpha = jnp.vdot(vector, image)
        largest = jnp.maximum(largest, jnp.linalg.norm(image))
        for _ in range(2):  # Once loses the orthogonality to rounding.
            image = image - basis.T @ (basis @ image)
        beta = jnp.linalg.norm(image)
        beta = jnp.where(beta > tiny * largest, beta, 0)
        return (basis, image / jnp.where(beta > 0, beta, 1) * (beta > 0), largest), (alpha, beta)

    start = jnp.zeros((products, z.size), z.dtype), z / jnp.where(length > 0, length, 1), jnp.zeros((), z.dtype)
    (basis, _, _), (alpha, beta) = jax.lax.scan(step, start, jnp.arange(products))
    values, vectors = jnp.linalg.eigh(jnp.diag(alpha) + jnp.diag(beta[:-1], 1) + jnp.diag(beta[:-1], -1))
    values = jnp.maximum(values, tiny * values[-1])
    return length * (basis.T @ (vectors @ (vectors[0] / jnp.sqrt(values)))) / root
