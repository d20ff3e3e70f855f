"""Imports of the optional packages rich, matplotlib and tensorboardX when they are first used."""

from importlib import import_module
from typing import Any


def require(module: str) -> Any:
    """Import a module of an optional package.

    Raises:
        ImportError: The package is not installed; the message contains the command that installs it.

    >>> require("json").dumps({})
    '{}'
    >>> require("no_such_package.part")
    Traceback (most recent call last):
    ImportError: this report needs no_such_package: pip install 'deqjax[report]'
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(f"this report needs {package}: pip install 'deqjax[report]'") from error
