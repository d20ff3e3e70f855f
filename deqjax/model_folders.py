"""Model folders: parameters, the resolved config and a model card, all of them plain files."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.atomic_write import atomic_folder
from deqjax.config import Config, read_config
from deqjax.data.formats.npz import ARCHIVE_ERRORS
from deqjax.physics import MaskedFourier, Sense
from deqjax.reconstruct import Reconstructor, parameter_shapes
from deqjax.solvers import Stats
from deqjax.toml_settings import to_table, to_toml
from deqjax.types import Params

PARAMS, CONFIG, CARD = "params.npz", "config.toml", "README.md"
SHIPPED = Path(__file__).parent / "shipped"


def method_of(config: Config) -> Reconstructor:
    """Make the reconstruction method that a config describes, with its training solver."""
    return Reconstructor(**{setting.name: getattr(config, setting.name) for setting in fields(Reconstructor)})


def save(folder: str | Path, config: Config, params: Params, card: str) -> Path:
    """Write a model folder: ``params.npz``, ``config.toml`` and the card as ``README.md``.

    It is written beside and renamed, so that there is a whole folder or none.

    Args:
      folder: must not exist.
      config: is written out in full.
      params: of the map, as they are used: with bounded convolutions if they are bounded.
      card: Markdown: data and its terms, command, seed, numbers, limits.

    Raises:
      ValueError: the folder exists.
    """
    folder = Path(folder)
    if folder.exists():
        raise ValueError(f"{folder}: exists already; choose another folder or remove it")
    with atomic_folder(folder) as temporary:
        arrays: dict[str, Any] = {path: np.asarray(leaf) for path, leaf in _flatten(params).items()}
        np.savez(temporary / PARAMS, **arrays)
        (temporary / CONFIG).write_text(to_toml(to_table(config)) + "\n", encoding="utf-8")
        (temporary / CARD).write_text(card, encoding="utf-8")
    return folder


def models() -> list[str]:
    """List the names of the models that come with the package; the card of each is ``README.md`` in its folder.

    >>> "brain" in models()
    True
    """
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{PARAMS}"))


def find(name: str | Path) -> Path:
    """The folder of a shipped model, for its name; a folder stays what it is (write ``./NAME`` for one of that name).

    >>> find("runs/mine/model").as_posix()
    'runs/mine/model'
    """
    return SHIPPED / name if isinstance(name, str) and name in models() else Path(name)


def load(name: str | Path, overrides: Sequence[str] = ()) -> tuple[Reconstructor, Params]:
    """Read a model: one that comes with the package, by its name, or a model folder.

    Args:
      name: one of :func:`models`, or a folder.
      overrides: of its config, as of :func:`~deqjax.config.read_config`: another solver, but not another architecture.

    Returns:
      The method, with the solver for inference if the config has one, and its parameters.

    Raises:
      ValueError: a file is missing or cannot be read, the parameters are those of another architecture, or an override
        would have no effect.
    """
    config = load_config(name, overrides)
    recon = method_of(config)
    if config.inference is not None:
        if any(text.removeprefix("--").startswith("solver.") for text in overrides):
            raise ValueError(f"{find(name)}: set [inference] instead, [solver] is that of training")
        recon = recon.replace(solver=config.inference)
    return recon, load_params(name, recon)


def load_params(name: str | Path, recon: Reconstructor) -> Params:
    """Read the parameters of a model, by name or folder, for a method.

    Raises:
      ValueError: there are none, they cannot be read, or they are those of another architecture than the method.
    """
    path = find(name) / PARAMS
    try:
        with np.load(path, allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
    except (*ARCHIVE_ERRORS, TypeError) as error:
        raise ValueError(f"{path}: cannot be read as parameters, {error}") from error
    params = parameter_shapes(recon)
    expected = {name: leaf.shape for name, leaf in _flatten(params).items()}
    found = {name: array.shape for name, array in stored.items()}
    if expected != found:
        first = next(iter(dict(expected.items() ^ found.items())))
        raise ValueError(
            f"{path}: the parameters are of another architecture than the config: {first} has shape "
            f"{found.get(first, 'missing')}, the config makes {expected.get(first, 'none')}"
        )
    return jax.tree_util.tree_map_with_path(lambda key, _: jnp.asarray(stored[_name(key)]), params)


def load_config(name: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read the config of a model, by name or folder, with overrides.

    Raises:
      ValueError: there is none.
    """
    folder = find(name)
    if not (folder / CONFIG).is_file() or not (folder / PARAMS).is_file():
        raise ValueError(
            f"{name}: not a model folder, which needs {CONFIG} and {PARAMS}; the models that come with deqjax are "
            f"{', '.join(models())}"
        )
    return read_config(folder / CONFIG, overrides)


def reconstruct(
    kspace: jax.Array, mask: jax.Array, smaps: jax.Array | None = None, *, model: str | Path = "brain"
) -> tuple[jax.Array, Stats]:
    """Reconstruct k-space with a trained model, the two-line way in.

    Args:
      kspace: ([batch,] y, x), or with ``smaps`` ([batch,] coil, y, x), complex. Without ``smaps``, coils would be taken
        for a batch of images of one coil.
      mask: broadcasts against (y, x).
      smaps: ([batch,] coil, y, x), for several coils; for instance ``deqjax.physics.espirit(kspace)``.
      model: the name of a model that comes with the package, or a model folder.

    Returns:
      The complex image and Stats, as of :class:`~deqjax.Reconstructor`.

    Raises:
      ValueError: what :func:`load` and the reconstructor raise.
    """
    recon, params = load(model)
    A = MaskedFourier(jnp.asarray(mask)) if smaps is None else Sense(jnp.asarray(smaps), jnp.asarray(mask))
    return recon(params, A, kspace)


def _name(path: tuple) -> str:
    return "/".join(str(entry.key) for entry in path)


def _flatten(params: Params) -> dict[str, Any]:
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
