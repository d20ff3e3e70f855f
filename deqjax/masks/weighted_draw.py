"""A fixed number of places, drawn without putting any back."""

import numpy as np


def draw_weighted(rng: np.random.RandomState, log_weight: np.ndarray, number: int) -> np.ndarray:
    """Draw ``number`` different places, one after the other, each with a probability proportional to its weight.

    The places with the largest ``log w + g``, where ``g = -log(-log u)`` and u is uniform in (0, 1): that is the same
    as drawing them one by one and takes one sort. Weights come as logarithms, so that none is too small to hold.

    Args:
      rng: the generator; one uniform number is taken for each place.
      log_weight: natural logarithms of the weights, any shape; ``-inf`` is never drawn, ``inf`` always.
      number: how many.

    Returns:
      bool, the shape of ``log_weight``, with ``number`` True.

    Raises:
      ValueError: fewer places of a weight above zero than ``number``.

    Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir", Information Processing Letters
    97:181-185, 2006, algorithm A, in logarithms.

    >>> draw_weighted(np.random.RandomState(0), np.array([0.0, -np.inf, 0.0, 0.7]), 3)
    array([ True, False,  True,  True])
    """
    possible = int(np.count_nonzero(log_weight > -np.inf))
    if not 0 <= number <= possible:
        raise ValueError(f"number {number} cannot be drawn from {possible} places of a weight above zero: ask for less")
    uniform = np.clip(rng.uniform(size=log_weight.shape), 1e-300, 1 - 1e-16)
    keys = log_weight - np.log(-np.log(uniform))
    drawn = np.zeros(log_weight.size, dtype=bool)
    drawn[np.argsort(-keys, axis=None, kind="stable")[:number]] = True
    return drawn.reshape(log_weight.shape)
