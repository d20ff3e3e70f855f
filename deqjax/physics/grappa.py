"""The lines between the sampled ones, from the neighbours in all coils."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.physics.coils import check_coil_axis


class Pattern(NamedTuple):
    """Every ``step``-th line from ``first``, ``regular`` of them, and ``number`` calibration lines from ``start``."""

    step: int
    first: int
    regular: int
    start: int
    number: int


def grappa(kspace: jax.Array, mask: np.ndarray, kernel: tuple[int, int] = (5, 4), ridge: float = 1e-3) -> jax.Array:
    """Fill the missing lines of a regular pattern by GRAPPA: ``y_c(k + r) = sum_dj w_rcdj y_d(k + j)``.

    The weights w, one set for each place r between two sampled lines, are those that fit the calibration lines best:
    ``min_w ||S w - T||^2 + ridge mean(diag(S^H S)) ||w||^2``. Beyond the edge of k-space there are zeros. Acceleration
    and calibration lines are read off the mask: the longest run of neighbouring lines, and every R-th line beside it.

    Args:
      kspace: (..., coil, y, x) complex; every leading index has weights of its own.
      mask: (1, x) or (x,), as from ``deqjax.masks.CartesianEquispaced``.
      kernel: samples along y, odd, and sampled lines along x, even, that a sample is made of.
      ridge: above 0; more of it lets less noise through, and blurs.

    Returns:
      the full k-space, same shape and units; measured samples stay as they are. ``rss(ifft2c(...))`` is the image.

    Raises:
      ValueError: no coil axis, a mask that does not fit or is not regular, a kernel of other sizes, or fewer
        calibration lines than the kernel spans, ``(lines - 1) R + 1``.

    Source: M. A. Griswold et al., "Generalized autocalibrating partially parallel acquisitions (GRAPPA)", Magn. Reson.
    Med. 47:1202, 2002, eqs. 1 and 2.

    >>> mask = np.arange(16) % 2 == 0
    >>> mask[4:12] = True
    >>> grappa(jnp.ones((3, 8, 16), complex), mask, kernel=(3, 2)).shape
    (3, 8, 16)
    """
    check_coil_axis(kspace)
    sampled = np.asarray(mask) != 0
    if sampled.shape not in ((kspace.shape[-1],), (1, kspace.shape[-1])):
        raise ValueError(f"mask of shape {sampled.shape} must be (1, x) or (x,) for kspace of shape {kspace.shape}")
    height, width = kernel
    if height % 2 != 1 or width % 2 != 0 or not 1 <= height <= kspace.shape[-2] or width < 2:
        raise ValueError(
            f"kernel must be (odd, even), at least (1, 2) and at most y = {kspace.shape[-2]}, not {kernel}"
        )
    if sampled.all():
        return kspace
    pattern = regular_pattern(sampled.reshape(-1))
    least = (width - 1) * pattern.step + 1
    if pattern.number < least:
        raise ValueError(
            f"mask has {pattern.number} calibration lines; a kernel of {width} lines at acceleration {pattern.step} "
            f"spans {least}: sample more lines of the centre, or take fewer lines in the kernel"
        )
    return _fill(kspace, jnp.asarray(sampled), pattern, kernel, ridge)


def regular_pattern(sampled: np.ndarray) -> Pattern:
    """Read spacing and calibration lines off the sampled lines (x,), bool.

    Raises:
      ValueError: other than a run of lines and every R-th line beside it.

    >>> regular_pattern(np.array([0, 1, 0, 1, 1, 1, 0, 1, 0], bool))
    Pattern(step=2, first=1, regular=4, start=3, number=3)
    """
    lines = np.flatnonzero(sampled)
    runs = np.split(lines, np.flatnonzero(np.diff(lines) > 1) + 1)
    run = max(runs, key=len)
    beside = np.setdiff1d(lines, run)
    for step in range(2, int(np.gcd.reduce(np.diff(beside))) + 1 if len(beside) > 1 else 0):
        regular = np.arange(beside[0], beside[-1] + 1, step)
        if np.isin(beside, regular).all() and sampled[regular].all():
            return Pattern(step, int(beside[0]), len(regular), int(run[0]), len(run))
    raise ValueError(
        f"mask is not regular: GRAPPA needs every R-th line beside {len(run)} calibration lines from line "
        f"{run[0] if len(run) else 0}, and the lines beside are {beside.tolist()}: take Sense with "
        "a Reconstructor instead"
    )


@partial(jax.jit, static_argnames=("pattern", "kernel"))
def _fill(kspace: jax.Array, sampled: jax.Array, pattern: Pattern, kernel: tuple[int, int], ridge: float) -> jax.Array:
    fill = partial(_fill_one, pattern=pattern, kernel=kernel, ridge=ridge)
    filled = jax.lax.map(fill, kspace.reshape(-1, *kspace.shape[-3:]))
    return jnp.where(sampled, kspace, filled.reshape(kspace.shape))


def _fill_one(kspace: jax.Array, pattern: Pattern, kernel: tuple[int, int], ridge: float) -> jax.Array:
    """Every line between the regular ones, (coil, y, x); zeros elsewhere."""
    step, first, count, start, number = pattern
    coils, y, x = kspace.shape
    height, width = kernel
    multiply = partial(jnp.einsum, precision="highest")

    calibration = kspace[..., start : start + number]
    largest = jnp.max(jnp.abs(calibration))
    calibration = calibration / jnp.where(largest > 0, largest, 1)
    rows, places = y - height + 1, number - (width - 1) * step
    sources = _neighbours(calibration, kernel, step, rows, places)
    row, line = height // 2, (width // 2 - 1) * step
    targets = [calibration[:, row : row + rows, line + r : line + r + places] for r in range(1, step)]
    gram = multiply("syx,tyx->st", jnp.conj(sources), sources)
    right = multiply("syx,rcyx->src", jnp.conj(sources), jnp.stack(targets)).reshape(len(gram), -1)
    level = ridge * jnp.trace(gram).real / len(gram)
    damped = gram + jnp.where(level > 0, level, 1) * jnp.eye(len(gram))
    weights = jax.scipy.linalg.solve(damped, right, assume_a="pos").reshape(-1, step - 1, coils)

    lines = kspace[..., first : first + (count - 1) * step + 1 : step]
    margins = [(0, 0), (height // 2, height // 2), (width // 2, width // 2)]
    found = multiply("src,syx->cyxr", weights, _neighbours(jnp.pad(lines, margins), kernel, 1, y, count + 1))
    blocks = jnp.pad(found, [(0, 0), (0, 0), (0, 0), (1, 0)]).reshape(coils, y, -1)  # from line ``first - step``
    filled = jnp.zeros((coils, y, x + 2 * step), kspace.dtype)
    return filled.at[..., first : first + blocks.shape[-1]].set(blocks)[..., step : step + x]


def _neighbours(lines: jax.Array, kernel: tuple[int, int], step: int, rows: int, places: int) -> jax.Array:
    """The samples that each place is made of: (coil, y, x) to (coil, row and line of the kernel; rows, places)."""
    corners = [(a, step * b) for a in range(kernel[0]) for b in range(kernel[1])]
    return jnp.concatenate([lines[:, a : a + rows, b : b + places] for a, b in corners])
