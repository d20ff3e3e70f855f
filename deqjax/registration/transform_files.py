"""Transform files that other programs read: ITK text, ITK HDF5, the affine of ANTs, plain matrices and NIfTI fields.

| suffix | content | convention |
|---|---|---|
| ``.nii``, ``.nii.gz`` | displacement on a grid | LPS mm, as ITK and ANTs; see `deqjax.registration.files` |
| ``.h5``, ``.hdf5`` | composite of matrices, B-splines and displacements | LPS mm, as ITK and ANTs |
| ``.tfm`` | text of ITK | LPS mm |
| ``.mat`` | affine of ANTs (Matlab, version 4) | LPS mm |
| ``.txt`` | matrix (d + 1, d + 1), or text of ITK | a matrix is in RAS mm, as NiftyReg's |

All of them take points of the fixed image to points of the moving image. In memory, maps are in RAS mm; see
`deqjax.registration.itk_transforms` for the conversion.
"""

import io
import re
from pathlib import Path

import h5py
import jax.numpy as jnp
import numpy as np
import scipy.io

from deqjax.atomic_write import atomic_file
from deqjax.registration.files import read_displacement, write_displacement
from deqjax.registration.grid import Grid
from deqjax.registration.itk_transforms import ItkTransform, itk_from_map, map_from_itk
from deqjax.registration.transforms import DisplacementMap, LinearMap, linear_map
from deqjax.registration.types import Map

SUFFIXES = (".nii", ".nii.gz", ".h5", ".hdf5", ".tfm", ".txt", ".mat")
"""The suffixes of transform files."""

HEADER = "#Insight Transform File V1.0"
KIND = re.compile(r"(\w+)_(?:double|float)_(\d)_\d")


def transform_suffix(path: str | Path) -> str:
    """Return the suffix of a transform file, in lower case.

    Raises:
      ValueError: if it is not one of `SUFFIXES`.

    >>> transform_suffix("a.b/Affine.TFM")
    '.tfm'
    """
    name = Path(path).name.lower()
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.endswith(suffix):
            return suffix
    raise ValueError(f"{path}: not the name of a transform file: give one that ends in {', '.join(SUFFIXES)}")


def read_transform(path: str | Path) -> Map:
    """Read the map of a transform file; see the table of this module.

    Beyond the grid of a displacement or of a B-spline, the map continues with the displacement of the edge, where ITK
    has the identity.

    Args:
      path: the file.

    Returns:
      The map from fixed points to moving points, in RAS mm.

    Raises:
      ModuleNotFoundError: if the file is a NIfTI file and nibabel is not installed.
      ValueError: if the file is missing or damaged, has another suffix, or holds a transform of an unknown kind.

    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/shift.tfm"
    >>> write_transform(path, LinearMap(jnp.eye(2), jnp.array([1.0, 2.0])))
    >>> read_transform(path).apply_points(jnp.zeros(2))
    Array([1., 2.], dtype=float32)
    """
    suffix = transform_suffix(path)
    if suffix in (".nii", ".nii.gz"):
        return read_displacement(path)
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file; check the path")
    reader = {".h5": _read_hdf5, ".hdf5": _read_hdf5, ".mat": _read_mat, ".tfm": _read_text, ".txt": _read_text}[suffix]
    try:
        found = reader(Path(path))
        return map_from_itk(found) if isinstance(found, list) else found
    except (OSError, KeyError, IndexError, TypeError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{path}: not a transform that can be read: {error}") from error


def write_transform(path: str | Path, mapping: Map, grid: Grid | None = None) -> None:
    """Write a map as a transform file; see the table of this module.

    Args:
      path: the file; an existing file is replaced. Its suffix chooses the format.
      mapping: the map from fixed points to moving points, in RAS mm.
      grid: the grid of the fixed image. A NIfTI file, and HDF5 for maps that ITK does not have, store the displacement
        on it; None for the grid of the map if it is a displacement.

    Raises:
      ModuleNotFoundError: if the file is a NIfTI file and nibabel is not installed.
      ValueError: if the suffix is another, a grid is needed and missing, or the map is not linear and the format holds
        matrices alone.
    """
    suffix = transform_suffix(path)
    if suffix in (".nii", ".nii.gz"):
        if grid is None:
            if not isinstance(mapping, DisplacementMap):
                raise ValueError(f"{path}: a NIfTI file stores the displacement on a grid: give the grid")
            grid = mapping.grid
        write_displacement(path, mapping, grid)
        return
    if suffix not in (".h5", ".hdf5"):
        linear = linear_map(mapping)
        if linear is None:
            raise ValueError(f"{path}: {suffix} holds linear maps alone: write the others to .h5 or .nii.gz")
        mapping = linear
    try:
        transforms = itk_from_map(mapping, grid)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    with atomic_file(path, overwrite=True) as temporary:
        if suffix in (".h5", ".hdf5"):
            _write_hdf5(temporary, transforms)
        elif suffix == ".mat":
            (one,) = transforms
            content = {f"{one.name}_double_{one.ndim}_{one.ndim}": one.parameters[:, None], "fixed": one.fixed[:, None]}
            scipy.io.savemat(temporary, content, format="4")
        elif suffix == ".tfm":
            temporary.write_text(_text(transforms))
        else:
            assert isinstance(mapping, LinearMap)
            np.savetxt(temporary, _homogeneous(mapping), fmt="%.9g")


def _homogeneous(mapping: LinearMap) -> np.ndarray:
    """Return the matrix (d + 1, d + 1) of a linear map."""
    matrix = np.eye(len(mapping.offset) + 1)
    matrix[:-1, :-1], matrix[:-1, -1] = mapping.matrix, mapping.offset
    return matrix


def _text(transforms: list[ItkTransform]) -> str:
    lines = [HEADER]
    for number, (name, ndim, *both) in enumerate(transforms):
        numbers = [" ".join(f"{value:.17g}" for value in values) for values in both]
        lines += [f"#Transform {number}", f"Transform: {name}_double_{ndim}_{ndim}"]
        lines += [f"Parameters: {numbers[0]}", f"FixedParameters: {numbers[1]}"]
    return "\n".join(lines) + "\n"


def _read_text(path: Path) -> list[ItkTransform] | LinearMap:
    text = path.read_text()
    if not text.startswith("#Insight Transform File"):
        matrix = np.loadtxt(io.StringIO(text), ndmin=2)
        size = len(matrix)
        if matrix.shape not in ((3, 3), (4, 4)) or not np.allclose(matrix[-1], np.eye(size)[-1]):
            raise ValueError(f"a matrix of shape {matrix.shape} is not (4, 4) or (3, 3) with the last row 0 ... 0 1")
        return LinearMap(jnp.asarray(matrix[:-1, :-1], float), jnp.asarray(matrix[:-1, -1], float))
    transforms = []
    fields = [line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#")]
    values: dict[str, str] = {}
    for key, value in [*fields, ["Transform", ""]]:
        if key.strip() == "Transform" and values:
            transforms.append(_transform(values["Transform"], *(_numbers(values.get(k, "")) for k in _FIELDS)))
            values = {}
        values[key.strip()] = value.strip()
    return [one for one in transforms if one.name != "CompositeTransform"]


_FIELDS = ("Parameters", "FixedParameters")


def _numbers(text: str) -> np.ndarray:
    return np.array(text.split(), float)


def _transform(kind: str, parameters: np.ndarray, fixed: np.ndarray) -> ItkTransform:
    found = KIND.fullmatch(kind)
    if not found:
        raise ValueError(f"unknown kind of transform {kind!r}")
    return ItkTransform(
        found[1], int(found[2]), np.asarray(parameters, float).ravel(), np.asarray(fixed, float).ravel()
    )


def _write_hdf5(path: Path, transforms: list[ItkTransform]) -> None:
    ndim = transforms[0].ndim
    text = h5py.string_dtype("ascii")
    with h5py.File(path, "w") as file:
        file["ITKVersion"] = np.array(["5.4.0"], text)
        file["HDFVersion"] = np.array([f"HDF5 library version: {h5py.version.hdf5_version}"], text)
        file["OSName"] = file["OSVersion"] = np.array(["unknown"], text)
        file["TransformGroup/0/TransformType"] = np.array([f"CompositeTransform_double_{ndim}_{ndim}"], text)
        for number, one in enumerate(transforms, 1):
            group = file.create_group(f"TransformGroup/{number}")
            group["TransformType"] = np.array([f"{one.name}_double_{ndim}_{ndim}"], text)
            group["TransformParameters"], group["TransformFixedParameters"] = one.parameters, one.fixed


def _read_hdf5(path: Path) -> list[ItkTransform]:
    transforms = []
    with h5py.File(path) as file:
        groups = file["TransformGroup"]
        for number in sorted(groups, key=int):
            group = groups[number]
            kind = group["TransformType"][0].decode()
            if kind.startswith("CompositeTransform"):
                continue
            # ITK wrote both names without an s until version 5.
            parts = [group.get(f"Transform{name}", group.get(f"Tranform{name}")) for name in _FIELDS]
            transforms.append(_transform(kind, *(np.array([]) if part is None else part[()] for part in parts)))
    return transforms


def _read_mat(path: Path) -> list[ItkTransform]:
    content = scipy.io.loadmat(path)
    kinds = [name for name in content if KIND.fullmatch(name)]
    if len(kinds) != 1:
        raise ValueError("no transform of ANTs in it (the matrices of FSL are in voxels, convert them first)")
    return [_transform(kinds[0], content[kinds[0]], content["fixed"])]
