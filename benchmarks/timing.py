"""Time a call until its result is ready. This file has no command: benchmarks such as brain_models.py import it."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Call a function once, and return its result and the time in seconds."""
    start = time.perf_counter()
    return jax.block_until_ready(call()), time.perf_counter() - start


def median_timed(call: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """Call a function several times after one call that is not counted; return the last result and the median time."""
    timed(call)
    found = [timed(call) for _ in range(repeats)]
    return found[-1][0], statistics.median(seconds for _, seconds in found)
