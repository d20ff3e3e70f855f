"""The command ``deqjax`` inside the test process."""

import contextlib
import io
from collections.abc import Sequence

from deqjax.run.cli import main


def succeed(command: str, arguments: Sequence[str]) -> None:
    """Run a command that is expected to succeed."""
    assert main([command, *arguments]) == 0


def refusal(command: str, arguments: Sequence[str]) -> str:
    """Run a command that is expected to fail, and return its one line on standard error."""
    stderr = io.StringIO()
    with contextlib.redirect_stderr(stderr):
        assert main([command, *arguments]) == 1
    (line,) = stderr.getvalue().splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")
