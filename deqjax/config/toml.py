"""TOML tables to settings and back: strict keys, checked types, dotted overrides.

A table that stands for a choice names it by its exported name, ``type = "Anderson"``, or names a class of the user's
own, ``type = "module:Class"``. Its other keys are the fields of that setting. A key that is left out has the default of
its dataclass. ``false`` leaves out an optional part: ``--start=false`` on a command line.
"""

import dataclasses
import difflib
import importlib
import sys
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import tomli_w

from deqjax import implicit, losses, maps, masks, nets, normalisation, objectives, priors, solvers
from deqjax.objectives.motion import Motion
from deqjax.types import (
    Adjoint,
    IterationMap,
    Loss,
    Mask,
    MeasuredObjective,
    MultiScaleNet,
    Net,
    Normalisation,
    Objective,
    Prior,
    Sampler,
    Solver,
)

Choices = Mapping[Any, types.ModuleType]

CHOICES: Choices = {
    Mask: masks,
    IterationMap: maps,
    Net: nets,
    MultiScaleNet: nets,
    Prior: priors,
    Solver: solvers,
    Adjoint: implicit,
    Normalisation: normalisation,
    Loss: losses,
    Objective: objectives,
    MeasuredObjective: objectives,
    Sampler: objectives,
    Motion: objectives,
}
"""Where the names of each kind of choice come from: a protocol, and the module that exports its settings."""


@dataclass(frozen=True)
class Trust:
    """Permission to import the classes that a config names as ``module:Class``. Importing a module runs its code.

    Attributes:
      folders: where modules are looked for, before the places where Python looks anyway.
    """

    folders: tuple[str, ...] = ()

    @classmethod
    def here(cls, *folders: Path) -> "Trust":
        """Trust the modules of some folders, and of the current folder."""
        return cls((*map(str, folders), str(Path.cwd())))


def read_table(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a TOML file as nested dicts, and apply overrides of the form ``[--]section.key=value``.

    Raises:
      ValueError: the file is missing or is not valid TOML, or an override is malformed.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such config file")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid TOML, {error}") from error
    # A change of type goes first, so that the fields of the new type can be set in the same command.
    for text in sorted(overrides, key=lambda text: not text.partition("=")[0].endswith(".type")):
        try:
            override(table, text)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return table


def to_table(setting: Any, choices: Choices = CHOICES, kind: Any = None) -> Any:
    """Turn a setting into the nested dict from which :func:`build` makes it; None is left out.

    Args:
      setting: a dataclass, or any value of a field.
      choices: the protocols and the modules that export their settings.
      kind: the declared type of the field that holds the setting, None for a setting on its own.

    >>> to_table(solvers.Picard())
    {'type': 'Picard', 'relaxation': 1.0, 'max_steps': 100, 'rtol': 0.0001}
    """
    if isinstance(setting, tuple):
        return [to_table(value, choices) for value in setting]
    if not dataclasses.is_dataclass(setting):
        return setting
    cls = type(setting)
    exported = any(getattr(module, cls.__name__, None) is cls for module in choices.values())
    chosen = exported if kind is None else any(member in choices for member in (kind, *typing.get_args(kind)))
    table = {"type": cls.__name__ if exported else f"{cls.__module__}:{cls.__qualname__}"} if chosen else {}
    values = {name: (getattr(setting, name), hint) for name, hint in _fields(cls).items()}
    return table | {name: to_table(value, choices, hint) for name, (value, hint) in values.items() if value is not None}


def to_toml(setting: Any, choices: Choices = CHOICES) -> str:
    """Write a setting as the TOML text from which it is read.

    >>> print(to_toml(solvers.Picard()), end="")
    type = "Picard"
    relaxation = 1.0
    max_steps = 100
    rtol = 0.0001
    """
    return tomli_w.dumps(to_table(setting, choices))


def override(table: dict[str, Any], argument: str) -> None:
    """Set one key of a table from ``[--]section.key=value``. The value is TOML, or a string if it is not valid TOML.

    An element of an array of tables is named by its ``name`` or its number: ``phase.train.steps=10``,
    ``phase.0.steps=10``.

    Raises:
      ValueError: there is no ``=``, a section is a value, or an array has no such element.

    >>> table = {"solver": {"rtol": 1e-4}}
    >>> override(table, "--solver.rtol=1e-3")
    >>> table
    {'solver': {'rtol': 0.001}}
    """
    key, equals, text = argument.removeprefix("--").partition("=")
    if not equals:
        raise ValueError(f"{argument!r}: write --section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text
    *sections, last = key.split(".")
    place: Any = table
    for section in sections:
        place = _element(place, section, argument) if isinstance(place, list) else place.setdefault(section, {})
        if not isinstance(place, dict | list):
            raise ValueError(f"{argument!r}: {section} is a value, not a section")
    if isinstance(place, list):
        element = _element(place, last, argument)
        if value is not False:
            raise ValueError(f"{argument!r}: {last} is a section; set one of its keys, or false to leave it out")
        place.remove(element)
        return
    if last == "type" and value != place.get("type"):
        _keep_shared(place, value)
    place[last] = value


def _element(array: list, name: str, argument: str) -> dict[str, Any]:
    """Find the table of an array that has a name or a number."""
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in array]
    if name in names:
        return array[names.index(name)]
    if name.isdecimal() and int(name) < len(array):
        return array[int(name)]
    raise ValueError(f"{argument!r}: there is no {name!r}; the names are {names}")


def _keep_shared(table: dict[str, Any], chosen: Any) -> None:
    """Drop the keys of a table that a new type does not have, such as ``history``; keep the others, such as ``rtol``.

    Nothing is kept for a class of the user's own, whose fields are not known here.
    """
    known = (getattr(module, str(chosen), None) for module in CHOICES.values())
    cls = next((kind for kind in known if dataclasses.is_dataclass(kind)), None)
    kept = _fields(typing.cast(type, cls)).keys() if cls else set() if ":" in str(chosen) else table.keys()
    for key in table.keys() - kept:
        del table[key]


def _fields(cls: type) -> dict[str, Any]:
    """Return the fields of a setting and their types. The fields that every linen module has are left out."""
    hints = typing.get_type_hints(cls)
    linen = {"parent", "name"} if hasattr(cls, "apply") else set()
    return {entry.name: hints[entry.name] for entry in dataclasses.fields(cls) if entry.name not in linen}


def build(kind: Any, value: Any, file: str, choices: Choices = CHOICES, trust: Trust | None = None) -> Any:
    """Build a setting, or a value of any kind, from what TOML holds.

    Args:
      kind: a dataclass, a protocol that stands for a choice, or a type of numbers, strings and tuples of these.
      value: the TOML value.
      file: the file that error messages name.
      choices: the protocols and the modules that export their settings.
      trust: allows types of the form ``module:Class``.

    Raises:
      ValueError: there is an unknown key, a wrong type, or a value that a setting refuses.

    >>> build(Solver, {"type": "Picard", "rtol": 1e-3}, "experiment.toml").rtol
    0.001
    """
    return _Builder(file, choices, trust).build(kind, value, "")


@dataclass(frozen=True)
class _Builder:
    """Builds settings from tables; ``where`` is the dotted key that an error message names."""

    file: str
    choices: Choices
    trust: Trust | None

    def build(self, kind: Any, value: Any, where: str) -> Any:
        if value is False and types.NoneType in typing.get_args(kind):
            return None
        members = (kind, *typing.get_args(kind))
        choices = [member for member in members if member in self.choices]
        if choices:
            return self.build_choice(choices, members, value, where)
        if typing.get_origin(kind) is tuple and dataclasses.is_dataclass(members[1]):
            return self.build_array(members[1], value, where)
        setting = next((member for member in members if dataclasses.is_dataclass(member)), None)
        if setting is not None:
            return self.build_dataclass(typing.cast(type, setting), value, where)
        if not _fits(kind, value):
            name = getattr(kind, "__name__", None) if not typing.get_args(kind) else str(kind)
            raise ValueError(f"{self.file}: {where} must be {name}; it is {value!r}")
        return _convert(kind, value)

    def build_choice(self, kinds: list, members: tuple, value: Any, where: str) -> Any:
        chosen = str(value.get("type")) if isinstance(value, dict) else ""
        table = {key: entry for key, entry in value.items() if key != "type"} if isinstance(value, dict) else {}
        if ":" in chosen:
            return self.build_dataclass(self.import_class(kinds, chosen, where), table, where)
        settings: dict[str, Any] = {
            name: cls
            for kind in kinds
            for name, cls in ((name, getattr(self.choices[kind], name)) for name in self.choices[kind].__all__)
            if isinstance(cls, type) and (_is_setting(cls, kind) or cls in members)
        }
        if chosen not in settings:
            raise ValueError(
                f'{self.file}: {where} needs type = "NAME" with a name of {sorted(settings)}, or "module:Class" for a '
                f"class of your own; it is {value!r}"
            )
        return self.build_dataclass(settings[chosen], table, where)

    def import_class(self, kinds: list, chosen: str, where: str) -> type:
        """Import a setting of the user's own. Nothing is imported without permission."""
        if self.trust is None:
            raise ValueError(
                f"{self.file}: {where}.type = {chosen!r} would run the code of that module; if you trust this file, "
                "load it with trust_code=True, or with --trust-code on the command line"
            )
        module, _, name = chosen.partition(":")
        path = list(sys.path)
        try:
            sys.path[:0] = self.trust.folders
            importlib.invalidate_caches()
            cls = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(f"{self.file}: {where}.type = {chosen!r} cannot be imported: {error}") from error
        finally:
            sys.path[:] = path
        if not isinstance(cls, type) or not any(_is_setting(cls, kind) for kind in kinds):
            names = " or a ".join(kind.__name__ for kind in kinds)
            fields = ", or ".join(", ".join(sorted(_members(kind))) for kind in kinds)
            raise ValueError(
                f"{self.file}: {where}.type = {chosen!r} is not a {names}: it must be a frozen dataclass, or a linen "
                f"module, with {fields}"
            )
        return cls

    def build_array(self, kind: Any, value: Any, where: str) -> tuple:
        if not isinstance(value, list):
            raise ValueError(f"{self.file}: {where} must be an array of tables, [[{where}]]; it is {value!r}")
        names = [entry.get("name", str(i)) if isinstance(entry, dict) else str(i) for i, entry in enumerate(value)]
        return tuple(self.build(kind, entry, f"{where}.{name}") for entry, name in zip(value, names))

    def build_dataclass(self, cls: type, table: Any, where: str) -> Any:
        if not isinstance(table, dict):
            raise ValueError(f"{self.file}: {where} must be a table; it is {table!r}")
        hints, prefix = _fields(cls), f"{where}." if where else ""
        for key in table.keys() - hints.keys():
            close = difflib.get_close_matches(key, hints)
            hint = f"; did you mean {prefix}{close[0]}?" if close else f"; {cls.__name__} has {sorted(hints)}"
            raise ValueError(f"{self.file}: unknown key {prefix}{key}{hint}")
        table = {key: _with_default_type(cls, key, value) for key, value in table.items()}
        values = {key: self.build(hints[key], value, f"{prefix}{key}") for key, value in table.items()}
        try:
            return cls(**values)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{self.file}: {where or 'the top level'}: {error}") from error


def _with_default_type(cls: type, key: str, value: Any) -> Any:
    """Add the type of a field's default to a table that has none, so that ``--solver.rtol=1e-3`` needs no type."""
    entry = next(entry for entry in dataclasses.fields(cls) if entry.name == key)
    default = entry.default_factory() if callable(entry.default_factory) else entry.default
    chosen = dataclasses.is_dataclass(default) and not isinstance(default, type)
    exported = chosen and any(getattr(module, type(default).__name__, None) for module in CHOICES.values())
    if isinstance(value, dict) and "type" not in value and exported:
        return {"type": type(default).__name__} | value
    return value


def _members(protocol: Any) -> frozenset[str]:
    """Return the names of the methods and attributes that a protocol asks for."""
    parts = [cls for cls in protocol.__mro__ if getattr(cls, "_is_protocol", False) and cls is not typing.Protocol]
    names = {name for cls in parts for name in (*vars(cls), *getattr(cls, "__annotations__", {}))}
    return frozenset(name for name in names if name == "__call__" or not name.startswith("_"))


def _is_setting(cls: type, protocol: Any) -> bool:
    """Return whether a class is a frozen dataclass without arrays that has the members of a protocol."""
    if not dataclasses.is_dataclass(cls):
        return False
    frozen = cls.__dataclass_params__.frozen or hasattr(cls, "apply")  # type: ignore[attr-defined]
    fields = _fields(cls)
    names = {name for base in cls.__mro__ for name in vars(base)} | fields.keys()
    return frozen and jax.Array not in fields.values() and _members(protocol) <= names


def _fits(kind: Any, value: Any) -> bool:
    if isinstance(value, int) and abs(value) >= 2**63:
        return False  # no array can hold it
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(arg, value) for arg in args)
    if origin is Literal:
        return value in args
    if origin is tuple:
        if not isinstance(value, list):
            return False
        variadic = len(args) == 2 and args[1] is Ellipsis
        kinds = args[:1] * len(value) if variadic else args
        return len(kinds) == len(value) and all(map(_fits, kinds, value))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _convert(kind: Any, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    wants_float = kind is float or (float in typing.get_args(kind) and int not in typing.get_args(kind))
    return float(value) if wants_float and isinstance(value, int) and not isinstance(value, bool) else value
