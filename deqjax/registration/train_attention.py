"""Training of attention on images, without ground truth."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from deqjax.registration.door import checked_image
from deqjax.registration.grid import Grid
from deqjax.registration.image_attention import ImageAttention
from deqjax.registration.regularisers import Diffusion, Regulariser
from deqjax.registration.similarities import LocalNCC, Similarity
from deqjax.registration.warp import warp


def attention_loss(
    parameters: Any,
    attention: ImageAttention,
    fixed: jax.Array,
    moving: jax.Array,
    grid: Grid,
    similarity: Similarity,
    regulariser: Regulariser,
) -> jax.Array:
    """``mean over pairs of similarity(B, A o Xi) + regulariser(Xi - id)``: pairs (n, *grid.shape), no ground truth.

    >>> grid = Grid.of((16, 16))
    >>> images = jnp.stack([grid.points()[..., 0], grid.points()[..., 1]])
    >>> attention = ImageAttention(width=4)
    >>> parameters = attention.init(jax.random.key(0), images[0], images[1], grid)
    >>> attention_loss(parameters, attention, images, images[::-1], grid, LocalNCC(), Diffusion()).shape
    ()
    """

    def one(fixed: jax.Array, moving: jax.Array) -> jax.Array:
        found: Any = attention.apply(parameters, fixed, moving, grid)
        warped = warp(moving, found, grid, grid)
        return similarity(fixed, warped, jnp.ones(grid.shape), grid) + regulariser(found.vectors, grid)

    return jnp.mean(jax.vmap(one)(fixed, moving))


def train_attention(
    images: ArrayLike,
    attention: ImageAttention | None = None,
    *,
    grid: Grid | None = None,
    similarity: Similarity | None = None,
    regulariser: Regulariser | None = None,
    steps: int = 300,
    pairs: int = 1,
    learning_rate: float = 3e-3,
    seed: int = 0,
) -> tuple[Any, np.ndarray]:
    """Minimise `attention_loss` over random ordered pairs by Adam, whose rate falls to 0 as a cosine.

    The same bits each time for one seed, on one machine.

    Args:
      images: (n, x, y[, z]), real, aligned as the pairs will be when it is used: affinely, as a rule.
      attention: `ImageAttention` by default. Parameters trained with one of the passes, which is quicker, suit more.
      grid: where all images lie; voxels of 1 mm by default.
      similarity: `LocalNCC` with a window of 3 mm by default.
      regulariser: of the displacement, mm; `Diffusion` of weight 0.1 by default.
      steps, pairs, learning_rate: of Adam; pairs a step.
      seed: of the weights and of the pairs.

    Returns:
      The parameters, and the loss at every step, (steps,).

    Raises:
      ValueError: fewer than two images, steps or pairs below 1; an image complex, constant or not finite.

    >>> grid = Grid.of((16, 16))
    >>> images = jnp.stack([jnp.exp(-jnp.sum((grid.points() - c) ** 2, -1) / 20) for c in (7.0, 8.0)])
    >>> train_attention(images, ImageAttention(width=4), steps=1)[1].shape
    (1,)
    """
    values = np.asarray(images)
    if values.ndim < 3 or len(values) < 2 or steps < 1 or pairs < 1:
        raise ValueError(
            f"images of shape {values.shape}, {steps} steps of {pairs} pairs: it takes (n, x, y[, z]) with "
            "at least two images, and at least 1 step of 1 pair"
        )
    if np.iscomplexobj(values):
        raise ValueError("the images are complex: the convolutions take real images, use jnp.abs")
    for k, image in enumerate(values):
        _, grid = checked_image(f"image {k}", image, grid)
    attention = ImageAttention() if attention is None else attention
    similarity = LocalNCC(width=3.0) if similarity is None else similarity
    regulariser = Diffusion(weight=0.1) if regulariser is None else regulariser
    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    stack, random = jnp.asarray(values, float), np.random.RandomState(seed)
    parameters = jax.jit(attention.init)(jax.random.key(seed), stack[0], stack[1], grid)

    @jax.jit
    def step(parameters: Any, state: Any, fixed: jax.Array, moving: jax.Array) -> tuple[Any, Any, jax.Array]:
        args = attention, fixed, moving, grid, similarity, regulariser
        value, slope = jax.value_and_grad(attention_loss)(parameters, *args)
        updates, state = optimiser.update(slope, state, parameters)
        return optax.apply_updates(parameters, updates), state, value

    state, history = optimiser.init(parameters), []
    for _ in range(steps):
        chosen = np.array([random.choice(len(values), 2, replace=False) for _ in range(pairs)])
        parameters, state, value = step(parameters, state, stack[chosen[:, 0]], stack[chosen[:, 1]])
        history.append(float(value))
    return parameters, np.array(history)
