"""TOML tables to settings and back: strict keys, checked types, dotted overrides.

A table that stands for a choice names it by its exported name, ``type = "Anderson"``; the other keys are the fields of
that setting. Everything else is a plain field. Whatever is left out has the default of its dataclass; ``false`` leaves
out what may be left out, as ``--start=false`` does on a command line.
"""

import dataclasses
import difflib
import tomllib
import types
import typing
from typing import Any, Literal

import jax

from deqjax import implicit, losses, maps, masks, nets, priors, solvers
from deqjax import normalisation as normalisations
from deqjax.types import IterationMap, Loss, Mask, Net, Prior, Solver

_CHOICES: dict[Any, types.ModuleType] = {
    Mask: masks,
    IterationMap: maps,
    Net: nets,
    Prior: priors,
    Solver: solvers,
    implicit.Adjoint: implicit,
    normalisations.Normalisation: normalisations,
    Loss: losses,
}


def to_table(setting: Any) -> Any:
    """Turn a setting into the nested dict that :func:`build` would read; None is left out.

    >>> to_table(solvers.Picard())
    {'type': 'Picard', 'relaxation': 1.0, 'max_steps': 100, 'rtol': 0.0001}
    """
    if not dataclasses.is_dataclass(setting):
        return list(setting) if isinstance(setting, tuple) else setting
    chosen = any(getattr(module, type(setting).__name__, None) is type(setting) for module in _CHOICES.values())
    table = {"type": type(setting).__name__} if chosen else {}
    values = {name: getattr(setting, name) for name in _hints(type(setting))}
    return table | {name: to_table(value) for name, value in values.items() if value is not None}


def to_toml(table: dict[str, Any], prefix: str = "") -> str:
    """Write a nested dict of strings, numbers and lists as TOML.

    >>> print(to_toml({"seed": 1, "solver": {"type": "Picard"}}))
    seed = 1
    <BLANKLINE>
    [solver]
    type = "Picard"
    """
    lines = [f"{key} = {_literal(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += ["", f"[{prefix}{key}]", to_toml(value, f"{prefix}{key}.")]
    return "\n".join(lines)


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return repr(value)


def override(table: dict[str, Any], argument: str) -> None:
    """Set one key of a table from ``[--]section.key=value``; the value is TOML, or else a string.

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
    except tomllib.TOMLDecodeError:
        value = text
    *sections, last = key.split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise ValueError(f"{argument!r}: {section} is a value, not a section")
    if last == "type" and value != table.get("type"):
        _keep_shared(table, value)
    table[last] = value


def _keep_shared(table: dict[str, Any], chosen: Any) -> None:
    """Another type keeps the fields that it has too, such as ``rtol``, and drops the others, such as ``history``."""
    known = (getattr(module, str(chosen), None) for module in _CHOICES.values())
    cls = next((kind for kind in known if dataclasses.is_dataclass(kind)), None)
    for key in table.keys() - (_hints(typing.cast(type, cls)).keys() if cls else table.keys()):
        del table[key]


def _hints(cls: type) -> dict[str, Any]:
    """Fields and types of a setting; of a linen module only its own fields."""
    hints = typing.get_type_hints(cls)
    linen = {"parent", "name"} if hasattr(cls, "apply") else set()
    return {entry.name: hints[entry.name] for entry in dataclasses.fields(cls) if entry.name not in linen}


def build(kind: Any, value: Any, file: str, where: str = "") -> Any:
    """Build a setting, or any value of a kind, from TOML.

    Args:
      kind: a dataclass, a protocol that stands for a choice, or a type of numbers, strings and tuples of them.
      value: what TOML holds.
      file: named in errors.
      where: the dotted key of the value, named in errors.

    Raises:
      ValueError: an unknown key, a wrong type, a value that a setting refuses.

    >>> build(Solver, {"type": "Picard", "rtol": 1e-3}, "experiment.toml").rtol
    0.001
    """
    if value is False and types.NoneType in typing.get_args(kind):
        return None
    choice = next((k for k in (kind, *typing.get_args(kind)) if k in _CHOICES), None)
    if choice is not None:
        return _build_choice(choice, value, file, where)
    setting = next((k for k in (kind, *typing.get_args(kind)) if dataclasses.is_dataclass(k)), None)
    if setting is not None:
        return _build_dataclass(typing.cast(type, setting), value, file, where)
    if not _fits(kind, value):
        name = getattr(kind, "__name__", None) if not typing.get_args(kind) else str(kind)
        raise ValueError(f"{file}: {where} must be {name}; it is {value!r}")
    return _convert(kind, value)


def _build_choice(kind: Any, value: Any, file: str, where: str) -> Any:
    module = _CHOICES[kind]
    classes = {name: getattr(module, name) for name in module.__all__ if isinstance(getattr(module, name), type)}
    settings: dict[str, Any] = {name: cls for name, cls in classes.items() if dataclasses.is_dataclass(cls)}
    names = [name for name, cls in settings.items() if jax.Array not in _hints(cls).values()]  # those hold no arrays
    chosen = str(value.get("type")) if isinstance(value, dict) else ""
    if chosen not in names:
        raise ValueError(f'{file}: {where} needs type = "NAME" with a name of {names}; it is {value!r}')
    fields = {key: entry for key, entry in value.items() if key != "type"}
    return _build_dataclass(getattr(module, chosen), fields, file, where)


def _build_dataclass(cls: type, table: Any, file: str, where: str) -> Any:
    if not isinstance(table, dict):
        raise ValueError(f"{file}: {where} must be a table; it is {table!r}")
    hints, prefix = _hints(cls), f"{where}." if where else ""
    for key in table.keys() - hints.keys():
        close = difflib.get_close_matches(key, hints)
        hint = f"; did you mean {prefix}{close[0]}?" if close else f"; {cls.__name__} has {sorted(hints)}"
        raise ValueError(f"{file}: unknown key {prefix}{key}{hint}")
    fields = {key: build(hints[key], value, file, f"{prefix}{key}") for key, value in table.items()}
    try:
        return cls(**fields)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: {where or 'the top level'}: {error}") from error


def _fits(kind: Any, value: Any) -> bool:
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
