"""The transforms of ITK as lists of numbers, and the maps that they describe.

deqjax has points in RAS mm (x to the right, y to the front), as NIfTI; ITK has them in LPS mm (x to the left, y to the
back). With ``F = diag(-1, -1, 1)``, ITK stores ``F o map o F``: a matrix M becomes ``F M F``, a vector t becomes
``F t``, and an affine A of a grid becomes ``F A``. The direction is the same: fixed points go to moving points.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from deqjax.registration.grid import Grid, check_grid
from deqjax.registration.slices import plane_axes, volume_affine
from deqjax.registration.transforms import Composite, DisplacementMap, LinearMap, SplineMap, linear_map
from deqjax.registration.transforms.linear import rotation_matrix
from deqjax.registration.types import Map


class ItkTransform(NamedTuple):
    """One transform as ITK stores it.

    Attributes:
      name: the name of the class of ITK, for example ``"AffineTransform"``.
      ndim: 2 or 3.
      parameters: what is optimised: matrices row by row, translations, angles, displacements.
      fixed: what is not optimised: the centre, or the grid as size, origin, spacing and direction.
    """

    name: str
    ndim: int
    parameters: np.ndarray
    fixed: np.ndarray


def map_from_itk(transforms: list[ItkTransform]) -> Map:
    """Return the map of a list of transforms. ITK applies the last one first.

    Args:
      transforms: one transform, or the members of a composite transform.

    Raises:
      ValueError: if a transform is of an unknown kind, or has the wrong number of parameters.

    >>> shift = ItkTransform("TranslationTransform", 3, np.array([1.0, 2.0, 3.0]), np.array([]))
    >>> map_from_itk([shift]).apply_points(jnp.zeros(3))
    Array([-1., -2.,  3.], dtype=float32)
    """
    maps = tuple(_map_of_one(transform) for transform in reversed(transforms))
    if not maps:
        raise ValueError("there is no transform")
    return maps[0] if len(maps) == 1 else Composite(maps)


def itk_from_map(mapping: Map, grid: Grid | None = None) -> list[ItkTransform]:
    """Return the transforms of ITK that describe a map.

    Matrices, B-splines and displacements are stored as they are, and a composite as its members; any other map is
    stored as its displacement on the grid.

    Args:
      mapping: the map.
      grid: the grid of the fixed image, for maps that are sampled.

    Raises:
      ValueError: if a grid is needed and missing, or the map is one of a slice that is not axial.
    """
    if grid is not None and np.any(ras_to_lps(grid) != _flip(grid.ndim)):
        raise ValueError("transforms of ITK in 2-D need an axial slice: write the displacement as a NIfTI file")
    linear = linear_map(mapping)
    maps: list[Map] = [mapping if linear is None else linear]
    if linear is None and isinstance(mapping, Composite):
        maps = list(_members(mapping))
        if not all(isinstance(one, (LinearMap, SplineMap, DisplacementMap)) for one in maps[1:]):
            maps = [mapping]  # where the later maps are sampled depends on the earlier ones
    if not isinstance(maps[0], (LinearMap, SplineMap, DisplacementMap)):
        if grid is None:
            raise ValueError(f"a {type(maps[0]).__name__} is written as its displacement on a grid: give the grid")
        maps[0] = DisplacementMap(maps[0].displacement(grid), grid)
    return [_itk_of_one(one) for one in reversed(maps)]


def ras_to_lps(grid: Grid) -> np.ndarray:
    """Return the signs that take the components of vectors on a grid from RAS to LPS, (d,).

    For a slice, the components are those of its plane; see `deqjax.registration.slices.slice_grid`.

    >>> ras_to_lps(Grid.of((4, 4, 4)))
    array([-1., -1.,  1.], dtype=float32)
    """
    if grid.ndim == 3:
        return _flip(3)
    affine, axis = volume_affine(grid)
    axes, _ = plane_axes(np.delete(affine[:3, :3], axis, axis=1))
    return _flip(3)[np.argmax(np.abs(axes), axis=0)]


def _flip(ndim: int) -> np.ndarray:
    return np.array([-1, -1, 1], np.float32)[:ndim]


def _members(mapping: Map) -> tuple[Map, ...]:
    if isinstance(mapping, Composite):
        return tuple(member for one in mapping.maps for member in _members(one))
    return (mapping,)


def _itk_of_one(mapping: Map) -> ItkTransform:
    if isinstance(mapping, LinearMap):
        matrix, offset = np.asarray(mapping.matrix, float), np.asarray(mapping.offset, float)
        ndim, flip = len(offset), _flip(len(offset))
        numbers = np.concatenate([(flip[:, None] * matrix * flip).ravel(), flip * offset])
        return ItkTransform("AffineTransform", ndim, numbers + 0.0, np.zeros(ndim))
    spline = isinstance(mapping, SplineMap)
    if isinstance(mapping, SplineMap):
        vectors, grid = mapping.control, mapping.lattice
    else:
        assert isinstance(mapping, DisplacementMap)
        vectors, grid = mapping.vectors, mapping.grid
    flip, spacing = _flip(grid.ndim), np.asarray(grid.spacing(), float)
    affine = np.asarray(grid.affine, float)[:-1] * flip[:, None]
    fixed = np.concatenate([grid.shape, affine[:, -1], spacing, (affine[:, :-1] / spacing).ravel()])
    # ITK's first index is the fastest. A field has its components innermost, a spline has them outermost.
    flipped = np.asarray(vectors, float) * flip
    axes = [*range(grid.ndim - 1, -1, -1)]
    numbers = flipped.transpose([grid.ndim, *axes] if spline else [*axes, grid.ndim]).ravel()
    name = "BSplineTransform" if spline else "DisplacementFieldTransform"
    return ItkTransform(name, grid.ndim, numbers + 0.0, fixed + 0.0)


def _map_of_one(transform: ItkTransform) -> Map:
    name, ndim, parameters, fixed = transform
    if ndim not in (2, 3):
        raise ValueError(f"{name}: {ndim} dimensions, not 2 or 3")
    flip = _flip(ndim)
    if name in ("DisplacementFieldTransform", "BSplineTransform"):
        if fixed.size != ndim * (ndim + 3):
            raise ValueError(f"{name}: {fixed.size} fixed parameters, not {ndim * (ndim + 3)}")
        size, origin, spacing = fixed[: 3 * ndim].reshape(3, ndim)
        shape, affine = tuple(int(n) for n in size), np.eye(ndim + 1)
        affine[:-1, :-1] = flip[:, None] * fixed[3 * ndim :].reshape(ndim, ndim) * spacing
        affine[:-1, -1] = flip * origin
        grid = Grid(jnp.asarray(affine, float), shape)
        check_grid(grid, name)
        if parameters.size != ndim * np.prod(shape):
            raise ValueError(f"{name}: {parameters.size} parameters do not fit a grid of shape {shape}")
        if name == "BSplineTransform":
            vectors = parameters.reshape(ndim, *shape[::-1]).transpose()
            return SplineMap(jnp.asarray(vectors * flip, float), grid)
        vectors = parameters.reshape(*shape[::-1], ndim).transpose([*range(ndim - 1, -1, -1), ndim])
        return DisplacementMap(jnp.asarray(vectors * flip, float), grid)
    try:
        matrix, translation = _matrix(name, ndim, parameters, fixed)
    except (IndexError, ValueError) as error:
        raise ValueError(f"{name}: cannot use {parameters.size} parameters in {ndim}-D: {error}") from error
    centre = fixed[:ndim] if fixed.size else np.zeros(ndim)
    offset = centre + translation - matrix @ centre
    return LinearMap(jnp.asarray(flip[:, None] * matrix * flip, float), jnp.asarray(flip * offset, float))


def _matrix(name: str, ndim: int, parameters: np.ndarray, fixed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return M and t of ``y = M (x - c) + c + t`` in the coordinates of ITK.

    Source: the ITK Software Guide, book 2, section 3.9, the tables of parameters of each transform.
    """
    if name in ("AffineTransform", "MatrixOffsetTransformBase"):
        return parameters[: ndim * ndim].reshape(ndim, ndim), parameters[ndim * ndim :].reshape(ndim)
    if name == "TranslationTransform":
        return np.eye(ndim), parameters.reshape(ndim)
    if name == "IdentityTransform":
        return np.eye(ndim), np.zeros(ndim)
    if name == "ScaleTransform":
        return np.diag(parameters.reshape(ndim)), np.zeros(ndim)
    if name in ("Euler2DTransform", "Rigid2DTransform"):
        return _turn(parameters[:1]), parameters[1:].reshape(2)
    if name == "Similarity2DTransform":
        return parameters[0] * _turn(parameters[1:2]), parameters[2:].reshape(2)
    if name == "Euler3DTransform":
        x, y, z = (_turn(parameters[k] * np.eye(3)[k]) for k in range(3))
        zyx = fixed.size > ndim and fixed[ndim] != 0
        return z @ (y @ x if zyx else x @ y), parameters[3:].reshape(3)
    if name in ("VersorTransform", "VersorRigid3DTransform", "Similarity3DTransform"):
        scale = parameters[6] if name == "Similarity3DTransform" else 1.0
        translation = parameters[3:6] if parameters.size > 3 else np.zeros(3)
        return scale * _from_versor(parameters[:3]), translation.reshape(3)
    raise ValueError("this kind of transform is not supported; convert it to an affine or a displacement field")


def _turn(angles: np.ndarray) -> np.ndarray:
    return np.asarray(rotation_matrix(jnp.asarray(angles, float)), float)


def _from_versor(versor: np.ndarray) -> np.ndarray:
    """Return the rotation of a unit quaternion, given by its vector part (3,)."""
    w = np.sqrt(max(1 - versor @ versor, 0))
    cross = np.cross(np.eye(3), versor)  # row k: e_k x v, so cross @ x = v x x
    return np.eye(3) + 2 * w * cross + 2 * cross @ cross
