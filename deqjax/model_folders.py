"""Model folders: the parameters, the config and the card of a trained model, all of them plain files."""

from collections.abc import Container, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.atomic_write import atomic_folder
from deqjax.config import Config, Trust, build, read_config, read_table, to_toml
from deqjax.data.formats.npz import ARCHIVE_ERRORS
from deqjax.domain import Domain
from deqjax.reconstruct import Reconstructor, parameter_shapes
from deqjax.types import Params
from deqjax.uncertainty import Calibration

PARAMS, CONFIG, CARD, DOMAIN = "params.npz", "config.toml", "README.md", "domain.toml"
CALIBRATION = "calibration.toml"
SHIPPED = Path(__file__).parent / "shipped"
PARTS = ("map", "smaps", "start", "finish")
"""The parts of a method."""


def method_of(config: Config) -> Reconstructor:
    """Make the reconstruction method that a config describes, with its solver for training."""
    parts = [setting.name for setting in fields(Reconstructor) if setting.name != "domain"]
    return Reconstructor(**{name: getattr(config, name) for name in parts})


def save(folder: str | Path, config: Config, params: Params, card: str, domain: Domain | None = None) -> Path:
    """Write a model folder: ``params.npz``, ``config.toml``, the card as ``README.md``, and ``domain.toml``.

    Args:
      folder: must not exist. It appears complete or not at all.
      config: the config, which is written with all its defaults.
      params: the parameters as they are used, that is, after any bound on the convolutions has been applied.
      card: Markdown that states the data and its terms, the command, the seed, the results and the limits.
      domain: what the model was trained on, see :class:`deqjax.domain.Domain`. Without it, no reconstruction can say
        whether the model is used outside its domain.

    Returns:
      The folder.

    Raises:
      ValueError: the folder exists.
    """
    return write_folder(folder, to_toml(config), params, card, domain)


def write_folder(folder: str | Path, config: str, params: Params, card: str, domain: Domain | None = None) -> Path:
    """Write a model folder from the text of its config; see :func:`save`."""
    folder = Path(folder)
    if folder.exists():
        raise ValueError(f"{folder}: exists already; choose another folder or remove it")
    with atomic_folder(folder) as temporary:
        arrays: dict[str, Any] = {path: np.asarray(leaf) for path, leaf in _flatten(params).items()}
        np.savez(temporary / PARAMS, **arrays)
        (temporary / CONFIG).write_text(config, encoding="utf-8")
        (temporary / CARD).write_text(card, encoding="utf-8")
        if domain is not None:
            (temporary / DOMAIN).write_text(to_toml(domain), encoding="utf-8")
    return folder


def models() -> list[str]:
    """List the names of the models that come with the package. The card of each is ``README.md`` in its folder.

    >>> "brain" in models()
    True
    """
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{PARAMS}"))


def find(name: str | Path) -> Path:
    """Return the folder of a shipped model for its name, and any other path unchanged.

    A folder with the name of a shipped model is reached as ``./NAME``.

    >>> find("runs/mine/model").as_posix()
    'runs/mine/model'
    """
    return SHIPPED / name if isinstance(name, str) and name in models() else Path(name)


def load(name: str | Path, overrides: Sequence[str] = (), *, trust_code: bool = False) -> tuple[Reconstructor, Params]:
    """Read a model: one that comes with the package, by its name, or a model folder.

    Args:
      name: one of :func:`models`, or a folder.
      overrides: changes of its config, see :func:`~deqjax.config.read_config`. They may name another solver, but not
        another architecture.
      trust_code: whether the config may import classes of the form ``module:Class``. Importing runs code, so allow it
        only for folders whose origin you trust.

    Returns:
      The method and its parameters. If the config has a solver for inference, the method has that solver. Its domain
      is that of :func:`load_domain`.

    Raises:
      ValueError: a file is missing or cannot be read, the parameters belong to another architecture, an override has
        no effect, or the config names code that it may not import.
    """
    config = load_config(name, overrides, trust_code=trust_code)
    recon = inference_method(config)
    if config.inference is not None and any(text.removeprefix("--").startswith("solver.") for text in overrides):
        raise ValueError(f"{find(name)}: set [inference] instead; [solver] is used in training only")
    return recon.replace(domain=load_domain(name)), load_params(name, recon)


def inference_method(config: Config) -> Reconstructor:
    """Make the method of a config as it is used: with the solver for inference, if there is one."""
    return method_of(config).replace(solver=config.inference or config.solver)


def load_params(name: str | Path, recon: Reconstructor) -> Params:
    """Read the parameters of a model, by its name or folder, for a method. A network for its training is left out.

    Raises:
      ValueError: the file is missing or cannot be read, or the parameters do not fit the method.
    """
    return read_params(find(name) / PARAMS, parameter_shapes(recon), PARTS)


def load_parts(name: str | Path, shapes: Params) -> Params:
    """Read some parts of a model, by its name or folder: those that ``shapes`` has, with the shapes that it has.

    Raises:
      ValueError: it is not a model folder, or the parameters have other names or shapes.

    >>> shapes = parameter_shapes(load("brain-small")[0])
    >>> list(load_parts("brain-small", {"finish": shapes["finish"]}))
    ['finish']
    """
    return read_params(check_model_folder(name) / PARAMS, shapes, set(shapes))


def read_params(path: Path, shapes: Params, parts: Container[str] | None = None) -> Params:
    """Read parameters of known shapes.

    Args:
      path: the file.
      shapes: the parameters that are expected, or their shapes.
      parts: the parts that are read; all by default.

    Raises:
      ValueError: the file is missing or cannot be read, or the parameters have other names or shapes.
    """
    stored = _stored_arrays(path)
    if parts is not None:
        stored = {name: array for name, array in stored.items() if name.partition("/")[0] in parts}
    expected = {name: leaf.shape for name, leaf in _flatten(shapes).items()}
    found = {name: array.shape for name, array in stored.items()}
    if expected != found:
        first = next(iter(dict(expected.items() ^ found.items())))
        raise ValueError(
            f"{path}: the parameters belong to another architecture than the config: {first} has shape "
            f"{found.get(first, 'missing')}, the config makes {expected.get(first, 'none')}"
        )
    return jax.tree_util.tree_map_with_path(lambda key, _: jnp.asarray(stored[_name(key)]), shapes)


def parts_of(name: str | Path) -> set[str]:
    """Return the parts of a method of which a model has parameters: ``"map"``, ``"smaps"``, ``"start"``, ``"finish"``.

    Raises:
      ValueError: the model is missing or cannot be read.

    >>> sorted(parts_of("brain-small"))
    ['finish', 'map', 'start']
    """
    return {stored.partition("/")[0] for stored in _stored_arrays(check_model_folder(name) / PARAMS)}


def _stored_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
    except (*ARCHIVE_ERRORS, TypeError) as error:
        raise ValueError(f"{path}: cannot be read as parameters, {error}") from error
    parts = (*PARTS, "network")
    # Version 0.1 has the parameters of the map beside the other parts.
    return {name if name.startswith(tuple(f"{p}/" for p in parts)) else f"map/{name}": stored[name] for name in stored}


def check_model_folder(name: str | Path) -> Path:
    """Return the folder of a model, by its name or folder.

    Raises:
      ValueError: it is not a model folder.
    """
    folder = find(name)
    if not (folder / CONFIG).is_file() or not (folder / PARAMS).is_file():
        raise ValueError(
            f"{name}: not a model folder, which needs {CONFIG} and {PARAMS}; the models that come with deqjax are "
            f"{', '.join(models())}"
        )
    return folder


def load_config(name: str | Path, overrides: Sequence[str] = (), *, trust_code: bool = False) -> Config:
    """Read the config of a model, by its name or folder, with overrides; see :func:`load`.

    Raises:
      ValueError: there is none, or it cannot be read.
    """
    trust = Trust.here() if trust_code else None
    return read_config(check_model_folder(name) / CONFIG, overrides, trust)


def load_domain(name: str | Path) -> Domain | None:
    """Read what a model was trained on, by its name or folder; None if its folder does not say.

    Raises:
      ValueError: it is not a model folder, or the file cannot be read.

    >>> load_domain("brain-small").trained_on
    'T2 brain'
    """
    path = check_model_folder(name) / DOMAIN
    return build(Domain, read_table(path), str(path)) if path.is_file() else None


def load_calibration(name: str | Path) -> Calibration | None:
    """Read the error bars of a model, by its name or folder; None if it has none (``deqjax calibrate`` makes them).

    Raises:
      ValueError: it is not a model folder, or the file cannot be read.

    >>> load_calibration("brain-dncnn") is None
    True
    """
    path = check_model_folder(name) / CALIBRATION
    return build(Calibration, read_table(path), str(path)) if path.is_file() else None


def _name(path: tuple) -> str:
    return "/".join(str(entry.key) for entry in path)


def _flatten(params: Params) -> dict[str, Any]:
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
