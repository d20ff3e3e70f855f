"""Study files: a grid of experiments that differ in how they are trained and how they are evaluated."""

import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deqjax.run.configs import config_folder, shipped_configs

Levels = dict[str, tuple[str, ...]]
"""The levels of one axis: the name of each, and its overrides of the config."""

Axes = dict[str, Levels]

FOLDER = "studies"
"""The folder of the studies that come with deqjax, below that of the configs."""

UNITS = ("slice", "volume")
KEYS = ("title", "config", "overrides", "baseline", "pooled", "unit", "train", "evaluate", "reduced")


@dataclass(frozen=True)
class Study:
    """A grid over training axes and evaluation axes. Every combination of their levels is a cell.

    Attributes:
      name: the name of the file without its suffix.
      title: the title of the page.
      config: the config from which all cells start.
      overrides: changes of the config that all cells share.
      baseline: the axis and the level of it with which the other levels are compared.
      train: the training axes.
      evaluate: the evaluation axes, whose cells share the trained model.
      pooled: the training axes over which the metrics of an image are averaged, such as the seed.
      unit: what is counted as one observation, ``volume`` or ``slice``.
    """

    name: str
    title: str
    config: str
    baseline: tuple[str, str]
    train: Axes
    evaluate: Axes
    overrides: tuple[str, ...] = ()
    pooled: tuple[str, ...] = ("seed",)
    unit: str = "volume"


def shipped_studies() -> list[str]:
    """List the names of the studies that come with deqjax.

    >>> "thesis_losses" in shipped_studies()
    True
    """
    return sorted(path.stem for path in (config_folder() / FOLDER).glob("*.toml"))


def find_study(name: str | Path) -> Path:
    """Return a study file as it is, and the file of a study that comes with deqjax for its name.

    Raises:
      ValueError: there is neither.

    >>> find_study("thesis_losses").name
    'thesis_losses.toml'
    """
    path = Path(name)
    if path.is_file():
        return path
    if path.name.removesuffix(".toml") in shipped_studies() and path.parent in (Path(), Path("configs", FOLDER)):
        return config_folder() / FOLDER / f"{path.name.removesuffix('.toml')}.toml"
    raise ValueError(f"{name}: no such study; the studies that come with deqjax are {', '.join(shipped_studies())}")


def read_study(
    path: str | Path, overrides: Sequence[str] = (), only: Sequence[str] = (), reduced: bool = False
) -> Study:
    """Read a study from a TOML file.

    Args:
      path: the file.
      overrides: changes of the config of all cells. The levels of the axes come after them.
      only: choices such as ``"loss=MSE,L1"``, which leave out the other levels of an axis.
      reduced: whether the table ``[reduced]`` of the file applies, with its ``overrides`` and its ``only``.

    Raises:
      ValueError: the file is missing, is not TOML, or has an unknown key or a wrong value; a choice names no level; or
        the study has no reduced form.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not valid TOML, {error}") from error
    unknown = sorted(set(table) - set(KEYS))
    if unknown:
        raise ValueError(f"{path}: unknown key {unknown[0]}; a study has {', '.join(KEYS)}")
    smaller = table.get("reduced", {})
    if not isinstance(smaller, dict) or set(smaller) - {"only", "overrides"}:
        raise ValueError(f"{path}: reduced must be a table with the keys only and overrides; it is {smaller!r}")
    if reduced and not smaller:
        raise ValueError(f"{path}: has no table [reduced], so that it has no reduced form")
    study = Study(
        name=Path(path).stem,
        title=_text(path, table, "title"),
        config=_text(path, table, "config"),
        baseline=split_choice(_text(path, table, "baseline")),
        train=_axes(path, table, "train"),
        evaluate=_axes(path, table, "evaluate"),
        overrides=_texts(path, "overrides", table.get("overrides", [])),
        pooled=_texts(path, "pooled", table.get("pooled", ["seed"])),
        unit=table.get("unit", "volume"),
    )
    _check(path, study)
    if reduced:
        study = choose(study, _texts(path, "reduced.only", smaller.get("only", [])))
        study = replace(
            study, overrides=study.overrides + _texts(path, "reduced.overrides", smaller.get("overrides", []))
        )
    return replace(choose(study, only), overrides=(*study.overrides, *overrides))


def choose(study: Study, only: Sequence[str]) -> Study:
    """Keep the named levels of axes, given as ``AXIS=LEVEL,LEVEL``; an axis that is not named keeps all its levels.

    Raises:
      ValueError: there is no such axis or level.

    >>> levels = {"a": (), "b": (), "c": ()}
    >>> list(choose(Study("n", "t", "c", ("loss", "a"), {"loss": levels}, {}), ["loss=a,c"]).train["loss"])
    ['a', 'c']
    """
    for text in only:
        axis, chosen = split_choice(text)
        part = "train" if axis in study.train else "evaluate"
        axes: Axes = getattr(study, part)
        if axis not in axes:
            raise ValueError(f"{text!r}: there is no axis {axis!r}; the axes are {[*study.train, *study.evaluate]}")
        names = chosen.split(",")
        missing = [name for name in names if name not in axes[axis]]
        if missing:
            raise ValueError(f"{text!r}: the axis {axis} has no level {missing[0]!r}; it has {list(axes[axis])}")
        kept = {name: changes for name, changes in axes[axis].items() if name in names}
        study = replace(study, **{part: axes | {axis: kept}})  # type: ignore[arg-type]
    return study


def combinations(axes: Axes) -> Iterator[tuple[dict[str, str], tuple[str, ...]]]:
    """Yield the level of each axis and all their overrides, for every combination of levels; the last axis is fastest.

    >>> [levels for levels, _ in combinations({"loss": {"a": (), "b": ()}, "seed": {"0": ()}})]
    [{'loss': 'a', 'seed': '0'}, {'loss': 'b', 'seed': '0'}]
    """
    for chosen in itertools.product(*(levels.items() for levels in axes.values())):
        names = dict(zip(axes, (name for name, _ in chosen)))
        yield names, tuple(itertools.chain.from_iterable(changes for _, changes in chosen))


def split_choice(text: str) -> tuple[str, str]:
    """Split ``AXIS=LEVEL``.

    Raises:
      ValueError: there is no ``=``.

    >>> split_choice("loss=MSE")
    ('loss', 'MSE')
    """
    axis, equals, level = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r}: write AXIS=LEVEL, such as loss=MSE")
    return axis, level


def _text(path: str | Path, table: Mapping[str, Any], key: str) -> str:
    if not isinstance(table.get(key), str):
        raise ValueError(f"{path}: {key} must be a string; it is {table.get(key)!r}")
    return table[key]


def _texts(path: str | Path, key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise ValueError(f'{path}: {key} must be a list of strings such as ["loss.type=L1"]; it is {value!r}')
    return tuple(value)


def _axes(path: str | Path, table: Mapping[str, Any], part: str) -> Axes:
    axes = table.get(part, {})
    if not isinstance(axes, dict) or not all(isinstance(levels, dict) and levels for levels in axes.values()):
        raise ValueError(f"{path}: {part} must hold tables of levels, [{part}.AXIS]; it is {axes!r}")
    for name in (name for levels in axes.values() for name in levels if "," in name):
        raise ValueError(f"{path}: the level {name!r} has a comma, which separates levels on the command line")
    return {
        axis: {name: _texts(path, f"{part}.{axis}.{name}", changes) for name, changes in levels.items()}
        for axis, levels in axes.items()
    }


def _check(path: str | Path, study: Study) -> None:
    axis, level = study.baseline
    if level not in (study.train | study.evaluate).get(axis, {}):
        raise ValueError(f"{path}: the baseline {axis}={level} is no level of an axis")
    if axis in study.pooled:
        raise ValueError(f"{path}: the axis {axis} of the baseline is pooled, so that its levels cannot be compared")
    if both := study.train.keys() & study.evaluate.keys():
        raise ValueError(f"{path}: {sorted(both)} is a training axis and an evaluation axis; rename one")
    if study.unit not in UNITS:
        raise ValueError(f"{path}: unit must be one of {UNITS}; it is {study.unit!r}")
    if study.config not in shipped_configs() and not Path(study.config).is_file():
        raise ValueError(f"{path}: there is no config {study.config!r} (deqjax configs)")
