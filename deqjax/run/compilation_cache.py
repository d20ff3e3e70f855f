"""JAX's cache of compiled programs, which the commands keep from one process to the next."""

import os
from pathlib import Path

import jax

VARIABLE = "DEQJAX_CACHE"
"""The environment variable that names the folder of the cache, or switches it off."""


def cache_folder() -> Path | None:
    """Return the folder of the compilation cache, or None if it is switched off.

    It is the folder that ``DEQJAX_CACHE`` names, which is switched off by ``off``; else ``deqjax`` below
    ``XDG_CACHE_HOME``, which is ``~/.cache`` by default.
    """
    named = os.environ.get(VARIABLE, "")
    if named.lower() in ("off", "0", "no", "false"):
        return None
    return Path(named or os.environ.get("XDG_CACHE_HOME") or "~/.cache/", "" if named else "deqjax").expanduser()


def use_compilation_cache() -> Path | None:
    """Keep compiled programs in the folder of the cache, and return it. A cache that JAX already has stays.

    A folder that cannot be written is left out: the commands then compile as without a cache.
    """
    set_by_user = jax.config.values.get("jax_compilation_cache_dir")
    if set_by_user:
        return Path(set_by_user)
    folder = cache_folder()
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(folder, os.W_OK):
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    return folder
