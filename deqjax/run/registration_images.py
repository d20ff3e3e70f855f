"""The images of a registration experiment, on one grid."""

from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from deqjax.data import list_files, phantom_image
from deqjax.data.formats.npz import ARCHIVE_ERRORS
from deqjax.registration import read_image, register, similarities, transforms, warp, warp_labels
from deqjax.registration.grid import Grid
from deqjax.registration.learning import checked_images
from deqjax.registration.types import Map


@dataclass(frozen=True)
class Images:
    """The images of a registration experiment, all on one grid.

    Attributes:
      train: an ``.npz`` file with an array ``images`` (n, x, y[, z]), or a NIfTI file, folder or glob pattern with one
        image per file. If it is empty, simulated brains are used.
      val: likewise, for validation. If it is empty, it is the same as ``train``.
      train_range: (first, last) image for training, both included.
      val_range: (first, last) image for validation.
      labels: whether the ``.npz`` file for training also has an array ``labels`` of integers, in the shape of
        ``images``, which an objective may use.
      align: whether every image is first registered to the first training image by an affine map.
      voxel_size: in mm, for images of ``.npz`` files.
      phantoms: the number of simulated brains for training; a quarter as many are held out.
      phantom_shape: (y, x) of the simulated brains.
    """

    train: str = ""
    val: str = ""
    train_range: tuple[int, int] | None = None
    val_range: tuple[int, int] | None = None
    labels: bool = False
    align: bool = True
    voxel_size: float = 1.0
    phantoms: int = 16
    phantom_shape: tuple[int, int] = (64, 64)


def read_images(
    data: Images, images: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, Grid, np.ndarray | None]:
    """Read the images for training and for validation, aligned if the config asks for it.

    Returns:
      The images for training, those for validation, the grid of all, and the labels of the images for training,
      numbered from 1, with 0 for the background; None without labels.

    Raises:
      ValueError: a file is missing or cannot be read, or the images or the labels have wrong shapes.
    """
    labels: np.ndarray | None = None
    if images is not None:
        training, grid = checked_images(images, Grid.of(images.shape[1:], spacing=data.voxel_size))
        held_out = training
    elif not data.train:
        count = data.phantoms + max(data.phantoms // 4, 2)
        heads = np.stack([np.abs(phantom_image((0, n), (1, *data.phantom_shape))[0]) for n in range(count)])
        training, grid = checked_images(heads[: data.phantoms])
        held_out = heads[data.phantoms :]
    else:
        training, grid = _read_files(data.train, data.voxel_size)
        labels = _read_labels(data.train, training.shape) if data.labels else None
        held_out = training if not data.val else _read_files(data.val, data.voxel_size)[0]
    if data.labels and labels is None:
        raise ValueError("data.labels needs an .npz file in data.train that has labels")
    training, held_out = _in_range(training, data.train_range, "train"), _in_range(held_out, data.val_range, "val")
    labels = None if labels is None else _in_range(labels, data.train_range, "train")
    if training.shape[1:] != held_out.shape[1:]:
        raise ValueError(
            f"the images for training have the shape {training.shape[1:]} and those for validation "
            f"{held_out.shape[1:]}: all images of an experiment lie on one grid"
        )
    if data.align:
        reference = training[0]
        maps = [_affine_map(reference, image, grid) for image in training[1:]]
        aligned = [warp(jnp.asarray(image), found, grid, grid) for image, found in zip(training[1:], maps)]
        training = np.stack([reference, *aligned])
        if labels is not None:
            moved = [warp_labels(image, found, grid, grid) for image, found in zip(labels[1:], maps)]
            labels = np.stack([labels[0], *moved])
        held_out = np.stack(
            [warp(jnp.asarray(image), _affine_map(reference, image, grid), grid, grid) for image in held_out]
        )
    return training.astype(np.float32), held_out.astype(np.float32), grid, labels


def _read_files(pattern: str, voxel_size: float) -> tuple[np.ndarray, Grid]:
    files = list_files(pattern)
    if len(files) == 1 and files[0].suffix == ".npz":
        images = _read_array(files[0], "images")
        return checked_images(images, Grid.of(images.shape[1:], spacing=voxel_size))
    read = [read_image(file) for file in files]
    shapes = {image.shape for image, _ in read}
    if len(shapes) > 1:
        raise ValueError(f"{pattern}: the images have the shapes {sorted(shapes)}: resample them to one grid first")
    return checked_images(np.stack([np.asarray(image) for image, _ in read]), read[0][1])


def _read_labels(pattern: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """Read the labels of an ``.npz`` file, and number them; None for other files."""
    files = list_files(pattern)
    if len(files) != 1 or files[0].suffix != ".npz":
        return None
    labels = _read_array(files[0], "labels")
    if labels.shape != shape or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{files[0]}: labels of shape {labels.shape} and type {labels.dtype}: they must be integers in the shape "
            f"{shape} of the images"
        )
    values = np.setdiff1d(labels, [0])
    return np.where(labels == 0, 0, np.searchsorted(values, labels) + 1).astype(np.int32)


def _read_array(file: Path, name: str) -> np.ndarray:
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files if key == name}
    except ARCHIVE_ERRORS as error:
        raise ValueError(f"{file}: cannot be read as an .npz file, {error}") from error
    if not arrays:
        raise ValueError(f"{file}: has no array {name!r} (n, x, y[, z])")
    return arrays[name]


def _in_range(images: np.ndarray, chosen: tuple[int, int] | None, name: str) -> np.ndarray:
    if chosen is None:
        return images
    first, last = chosen
    if not 0 <= first < last < len(images):
        raise ValueError(f"data.{name}_range = {chosen} is not within the {len(images)} images, counted from 0")
    return images[first : last + 1]


def _affine_map(reference: np.ndarray, image: np.ndarray, grid: Grid) -> Map:
    """Register an image to the reference by an affine map."""
    methods = transforms.Affine(), similarities.NCC()
    return register(jnp.asarray(reference), jnp.asarray(image), *methods, fixed_grid=grid, moving_grid=grid).map
