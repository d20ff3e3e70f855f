"""Config files: where they are, and which kind of experiment they describe."""

from collections.abc import Sequence
from pathlib import Path

from deqjax.config import Trust, read_config, read_table
from deqjax.run.experiment import Experiment, reconstruction_experiment
from deqjax.run.registration_experiment import read_registration_config, registration_experiment

PACKAGE = Path(__file__).parents[1] / "configs"
"""The configs in an installed package; in a clone they are ``configs`` at the top level."""


def config_folder() -> Path:
    """Return the folder of the configs that come with deqjax.

    >>> (config_folder() / "quickstart.toml").is_file()
    True
    """
    return PACKAGE if PACKAGE.is_dir() else PACKAGE.parents[1] / "configs"


def shipped_configs() -> list[str]:
    """List the names of the configs that come with deqjax. Its studies are not among them.

    >>> "baselines/total_variation" in shipped_configs()
    True
    """
    folder = config_folder()
    names = (path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.toml"))
    return sorted(name for name in names if not name.startswith("studies/"))


def find_config(name: str | Path) -> Path:
    """Return a config file as it is, and the file of a config that comes with deqjax for its name.

    Raises:
      ValueError: there is neither.

    >>> find_config("quickstart").name
    'quickstart.toml'
    """
    path = Path(name)
    if path.is_file():
        return path
    stem = path.as_posix().removesuffix(".toml").removeprefix("configs/")
    if stem in shipped_configs():
        return config_folder() / f"{stem}.toml"
    raise ValueError(
        f"{name}: no such config file; the configs that come with deqjax are {', '.join(shipped_configs())}"
    )


def run_folder(path: Path, out: str) -> Path:
    """Return where the run of a config goes: the ``out`` of the config, or ``runs/NAME``."""
    return Path(out or Path("runs") / path.stem)


def read_experiment(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Make the experiment that a config file describes: of a registration if it has ``[network]``.

    It is a file of the user, so its types may be classes of the user's own, ``module:Class``. Modules are looked for in
    the folder of the file and in the current folder.

    Raises:
      ValueError: the config or the data is wrong; see :func:`deqjax.config.read_config`.
    """
    trust = Trust.here(path.resolve().parent)
    if "network" in read_table(path, overrides):
        return registration_experiment(read_registration_config(path, overrides, trust))
    return reconstruction_experiment(read_config(path, overrides, trust))
