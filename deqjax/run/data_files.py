"""The data files of a reconstruction experiment: those that its config names, or simulated brains."""

from pathlib import Path

from deqjax.config import Config
from deqjax.data import Slices, list_files, write_phantoms


def check_slices(slices: Slices, budget: int = 2**28) -> None:
    """Read up to a quarter of a gigabyte of the slices, so that a bad file is found."""
    for i in range(len(slices)):
        budget -= slices.example(i).nbytes
        if budget < 0:
            return


def training_files(config: Config) -> list[Path]:
    """List the training files of a config. Without any, simulated brains are written where they are missing."""
    return list_files(config.data.train) if config.data.train else _phantoms(config, config.data.phantoms.train, 0)


def validation_files(config: Config) -> list[Path]:
    """List the validation files of a config. Without any, these are simulated brains of other patients."""
    return list_files(config.data.val) if config.data.val else _phantoms(config, config.data.phantoms.val, 1)


def _phantoms(config: Config, count: int, seed: int) -> list[Path]:
    phantoms = config.data.phantoms
    size = "x".join(map(str, phantoms.shape))
    settings = f"{size}-coils{phantoms.coils}-noise{phantoms.noise:g}"  # configs that differ use different folders
    folder = Path(phantoms.folder) / settings / ("train", "val")[seed]
    return write_phantoms(folder, count, phantoms.shape, phantoms.coils, phantoms.noise, seed)
