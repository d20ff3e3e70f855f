"""Trained networks: those that come with the package, and model folders."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from deqjax import model_folders
from deqjax.config import Choices, build, read_table
from deqjax.registration import nets
from deqjax.registration.grid import Grid
from deqjax.registration.types import Network

SHIPPED_NETWORKS = model_folders.SHIPPED / "registration"
NETWORK_CHOICES: Choices = {Network: nets}
"""Where the names of networks in a config come from."""


class TrainedNetwork(NamedTuple):
    """A trained network, with what `register_by_network` needs to know about it.

    Attributes:
      network: the network.
      parameters: its parameters.
      voxel_size: the voxel size of the training, in mm.
      ndim: 2 or 3, the dimension of its images.
    """

    network: Network
    parameters: Any
    voxel_size: float
    ndim: int


def models() -> list[str]:
    """List the names of the registration networks that come with the package. Each folder has a card, ``README.md``.

    >>> models()
    ['voxelmorph-brain-2d']
    """
    return sorted(path.parent.name for path in SHIPPED_NETWORKS.glob(f"*/{model_folders.PARAMS}"))


def find_network(name: str | Path) -> Path:
    """Return the folder of a network that comes with the package for its name, and any other path unchanged.

    >>> find_network("runs/attention/model").as_posix()
    'runs/attention/model'
    """
    return SHIPPED_NETWORKS / name if isinstance(name, str) and name in models() else Path(name)


def load_network(name: str | Path) -> TrainedNetwork:
    """Read a trained network: one that comes with the package, by its name, or a model folder that a training has left.

    Args:
      name: one of :func:`models`, or a folder.

    Returns:
      The network for inference and its parameters, for `register_by_network`.

    Raises:
      ValueError: it is not the folder of a registration network, a file cannot be read, or the parameters belong to
        another network.

    >>> load_network("brain")
    Traceback (most recent call last):
    ValueError: brain: not the folder of a registration network, which needs params.npz and config.toml...
    """
    folder = find_network(name)
    path = folder / model_folders.CONFIG
    table = read_table(path) if path.is_file() else {}
    if "network" not in table or not (folder / model_folders.PARAMS).is_file():
        raise ValueError(
            f"{name}: not the folder of a registration network, which needs {model_folders.PARAMS} and "
            f"{model_folders.CONFIG} with [network]; those that come with deqjax: {', '.join(models()) or 'none'}"
        )
    key = "inference" if "inference" in table else "network"
    network: Network = build(Network, table[key], str(path), NETWORK_CHOICES)
    ndim = _dimensions(folder / model_folders.PARAMS)
    grid = Grid.of((16,) * ndim)
    image = jnp.zeros(grid.shape)
    shapes = {"network": jax.eval_shape(network.init, jax.random.key(0), image, image, grid)}
    params = model_folders.read_params(folder / model_folders.PARAMS, shapes)
    return TrainedNetwork(network, params["network"], float(table.get("data", {}).get("voxel_size", 1.0)), ndim)


def _dimensions(path: Path) -> int:
    """Return the number of spatial axes of the convolutions."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return max([file[name].ndim for name in file.files if name.endswith("kernel")], default=4) - 2
    except (*model_folders.ARCHIVE_ERRORS, TypeError) as error:
        raise ValueError(f"{path}: cannot be read as parameters, {error}") from error
