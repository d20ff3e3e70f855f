"""Adam with gradient clipping and a learning-rate schedule."""

import optax


def make_optimizer(
    *, steps: int, learning_rate: float, final_learning_rate: float, warmup_steps: int = 0, clip_norm: float = 1.0
) -> optax.GradientTransformation:
    """Make Adam with a linear warm-up and a cosine decay, after clipping the global norm of the gradient.

    Source: D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.

    Args:
      steps: number of steps of the schedule, including the warm-up.
      learning_rate: the highest learning rate.
      final_learning_rate: the learning rate at the end of the cosine.
      warmup_steps: number of steps from 0 to the highest learning rate.
      clip_norm: the largest global norm of the gradient.

    >>> import jax.numpy as jnp
    >>> optimizer = make_optimizer(steps=10, learning_rate=0.1, final_learning_rate=0.01)
    >>> optimizer.update({"w": jnp.array(5.0)}, optimizer.init({"w": jnp.array(0.0)}))[0]["w"].round(3)
    Array(-0.1, dtype=float32)
    """
    schedule = optax.warmup_cosine_decay_schedule(
        init_value=0.0 if warmup_steps else learning_rate,
        peak_value=learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=max(steps, warmup_steps + 1),
        end_value=min(final_learning_rate, learning_rate),
    )
    return optax.chain(optax.clip_by_global_norm(clip_norm), optax.adam(schedule))
