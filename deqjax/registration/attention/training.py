"""Training of `ImageAttention` on images, without known displacements."""

# Replaced by deqjax.run.fit.

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from deqjax.registration.attention.image_attention import ImageAttention
from deqjax.registration.attention.objective import AttentionObjective
from deqjax.registration.attention.pairs import checked_images, pair_at
from deqjax.registration.grid import Grid


def train_attention(
    images: ArrayLike,
    attention: ImageAttention | None = None,
    *,
    grid: Grid | None = None,
    objective: AttentionObjective | None = None,
    steps: int = 300,
    pairs: int = 1,
    learning_rate: float = 3e-3,
    seed: int = 0,
) -> tuple[Any, np.ndarray]:
    """Minimise an `AttentionObjective` over random ordered pairs by Adam with cosine decay of the learning rate to 0.

    On one machine the result is bit for bit the same for the same seed.

    Args:
      images: (n, x, y[, z]), real, aligned as the pairs will be when the network is used: affinely, as a rule.
      attention: the network; `ImageAttention` by default. Parameters trained with one pass, which is faster, also suit
        several passes.
      grid: the grid of all images; None for voxels of 1 mm.
      objective: the objective; `AttentionObjective` by default.
      steps: the number of steps.
      pairs: the number of pairs in a step.
      learning_rate: the learning rate of the first step.
      seed: the seed of the parameters and of the pairs.

    Returns:
      The parameters, and the objective at every step, (steps,).

    Raises:
      ValueError: if there are fewer than two images, ``steps`` or ``pairs`` is below 1, or an image is complex,
        constant or not finite.

    >>> grid = Grid.of((16, 16))
    >>> images = jnp.stack([jnp.exp(-jnp.sum((grid.points() - c) ** 2, -1) / 20) for c in (7.0, 8.0)])
    >>> train_attention(images, ImageAttention(width=4), steps=1)[1].shape
    (1,)
    """
    if steps < 1 or pairs < 1:
        raise ValueError(f"{steps} steps of {pairs} pairs: training needs at least 1 step of 1 pair")
    values, grid = checked_images(images, grid)
    attention = ImageAttention() if attention is None else attention
    objective = AttentionObjective() if objective is None else objective
    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    stack = jnp.asarray(values, float)
    parameters = jax.jit(attention.init)(jax.random.key(seed), stack[0], stack[1], grid)

    @jax.jit
    def update(parameters: Any, state: Any, fixed: jax.Array, moving: jax.Array) -> tuple[Any, Any, jax.Array]:
        value_of = lambda parameters: objective(attention, parameters, fixed, moving, grid)
        value, gradient = jax.value_and_grad(value_of)(parameters)
        updates, state = optimizer.update(gradient, state, parameters)
        return optax.apply_updates(parameters, updates), state, value

    state, history = optimizer.init(parameters), []
    for step in range(steps):
        chosen = pair_at(len(values), pairs, seed, step)
        parameters, state, value = update(parameters, state, stack[chosen[:, 0]], stack[chosen[:, 1]])
        history.append(float(value))
    return parameters, np.array(history)
