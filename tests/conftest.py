"""What tests of several folders share."""

import os
from collections.abc import Iterator

import jax
import pytest

os.environ.setdefault("DEQJAX_CACHE", "off")  # the commands keep nothing outside the temporary folders


@pytest.fixture
def float64() -> Iterator[None]:
    """Run one test in double precision; the next one is in single precision again."""
    with jax.enable_x64(True):
        yield
