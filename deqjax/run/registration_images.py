"""The images of a registration experiment, on one grid."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from deqjax.data import list_files, phantom_image
from deqjax.data.formats.npz import ARCHIVE_ERRORS
from deqjax.registration import read_image, register, similarities, transforms, warp
from deqjax.registration.grid import Grid
from deqjax.registration.learning import checked_images


@dataclass(frozen=True)
class Images:
    """The images of a registration experiment, all on one grid.

    Attributes:
      train: an ``.npz`` file with an array ``images`` (n, x, y[, z]), or a NIfTI file, folder or glob pattern with one
        image per file. If it is empty, simulated brains are used.
      val: likewise, for validation. If it is empty, it is the same as ``train``.
      train_range: (first, last) image for training, both included.
      val_range: (first, last) image for validation.
      align: whether every image is first registered to the first training image by an affine map.
      voxel_size: in mm, for images of ``.npz`` files.
      phantoms: the number of simulated brains for training; a quarter as many are held out.
      phantom_shape: (y, x) of the simulated brains.
    """

    train: str = ""
    val: str = ""
    train_range: tuple[int, int] | None = None
    val_range: tuple[int, int] | None = None
    align: bool = True
    voxel_size: float = 1.0
    phantoms: int = 16
    phantom_shape: tuple[int, int] = (64, 64)


def read_images(data: Images, images: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, Grid]:
    """Read the images for training and for validation, aligned if the config asks for it.

    Returns:
      The images for training, those for validation, and the grid of all.
    """
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
        held_out = training if not data.val else _read_files(data.val, data.voxel_size)[0]
    training, held_out = _in_range(training, data.train_range, "train"), _in_range(held_out, data.val_range, "val")
    if training.shape[1:] != held_out.shape[1:]:
        raise ValueError(
            f"the images for training have the shape {training.shape[1:]} and those for validation "
            f"{held_out.shape[1:]}: all images of an experiment lie on one grid"
        )
    if data.align:
        reference = training[0]
        training = np.stack([reference, *(_aligned(reference, image, grid) for image in training[1:])])
        held_out = np.stack([_aligned(reference, image, grid) for image in held_out])
    return training.astype(np.float32), held_out.astype(np.float32), grid


def _read_files(pattern: str, voxel_size: float) -> tuple[np.ndarray, Grid]:
    files = list_files(pattern)
    if len(files) == 1 and files[0].suffix == ".npz":
        try:
            with np.load(files[0], allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files if name == "images"}
        except ARCHIVE_ERRORS as error:
            raise ValueError(f"{files[0]}: cannot be read as an .npz file, {error}") from error
        if not arrays:
            raise ValueError(f"{files[0]}: has no array 'images' (n, x, y[, z])")
        images = arrays["images"]
        return checked_images(images, Grid.of(images.shape[1:], spacing=voxel_size))
    read = [read_image(file) for file in files]
    shapes = {image.shape for image, _ in read}
    if len(shapes) > 1:
        raise ValueError(f"{pattern}: the images have the shapes {sorted(shapes)}: resample them to one grid first")
    return checked_images(np.stack([np.asarray(image) for image, _ in read]), read[0][1])


def _in_range(images: np.ndarray, chosen: tuple[int, int] | None, name: str) -> np.ndarray:
    if chosen is None:
        return images
    first, last = chosen
    if not 0 <= first < last < len(images):
        raise ValueError(f"data.{name}_range = {chosen} is not within the {len(images)} images, counted from 0")
    return images[first : last + 1]


def _aligned(reference: np.ndarray, image: np.ndarray, grid: Grid) -> np.ndarray:
    """Register an image to the reference by an affine map."""
    found = register(jnp.asarray(reference), jnp.asarray(image), transforms.Affine(), similarities.NCC())
    return np.asarray(warp(jnp.asarray(image), found.map, grid, grid))
