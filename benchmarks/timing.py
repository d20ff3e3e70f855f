"""How long a call takes, until its result is there."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What one call gives, and its seconds."""
    start = time.perf_counter()
    return jax.block_until_ready(call()), time.perf_counter() - start


def median_timed(call: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """What the last of some calls gives, and the median of their seconds, after one that is not counted."""
    timed(call)
    found = [timed(call) for _ in range(repeats)]
    return found[-1][0], statistics.median(seconds for _, seconds in found)
