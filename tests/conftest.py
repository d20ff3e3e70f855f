"""What tests of several folders share."""

import os
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

os.environ.setdefault("DEQJAX_CACHE", "off")  # the commands keep nothing outside the temporary folders

MEMORY_MAPS = Path("/proc/self/maps")
MANY_MAPS = 12_000


@pytest.fixture
def float64() -> Iterator[None]:
    """Run one test in double precision; the next one is in single precision again."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True, scope="module")
def compiled_programs() -> Iterator[None]:
    """Release the compiled programs of the tests so far, if there are many.

    Linux allows 65,530 memory maps in a process. A compiled program holds several, and a process that reaches the
    limit ends without a message.
    """
    yield
    if MEMORY_MAPS.exists() and len(MEMORY_MAPS.read_bytes().splitlines()) > MANY_MAPS:
        jax.clear_caches()
