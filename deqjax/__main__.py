# PYTHON_ARGCOMPLETE_OK
"""The process of the command ``deqjax``, which is also ``python -m deqjax``: its signals and its end."""

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

INTERRUPTED = 130


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process with its exit code. SIGTERM has the effect of Ctrl-C."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)  # nothing is open while modules are imported
    from deqjax.run.cli import main

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    code = main(arguments)
    if code == INTERRUPTED:
        _end()
    sys.exit(code)


def _end(*_: Any) -> NoReturn:
    """End at once. The normal end of an interrupted process crashes if a thread of XLA still runs."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    run()
