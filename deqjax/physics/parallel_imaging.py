"""GRAPPA: fill in missing k-space lines from neighbouring lines of all coils."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.physics.array_checks import zero_one_mask
from deqjax.physics.coils import check_coil_axis
from deqjax.scaling import power_of_two_scale


class RegularPattern(NamedTuple):
    """Regularly spaced lines and a block of calibration lines, as line indices along x."""

    acceleration: int
    """The distance between two regular lines."""
    first_line: int
    """The index of the first regular line."""
    num_lines: int
    """The number of regular lines."""
    first_calibration: int
    """The index of the first calibration line."""
    num_calibration: int
    """The number of calibration lines."""


def grappa(kspace: jax.Array, mask: np.ndarray, kernel: tuple[int, int] = (5, 4), ridge: float = 1e-3) -> jax.Array:
    """Fill in the missing lines of a regular sampling pattern by GRAPPA: ``y_c(k + r) = sum_dj w_rcdj y_d(k + j)``.

    There is one set of weights w for each position r between two sampled lines. The weights are fitted to the
    calibration lines: ``min_w ||S w - T||^2 + ridge mean(diag(S^H S)) ||w||^2``. K-space is zero beyond its edges.
    Acceleration and calibration lines are read from the mask: the calibration lines are the longest run of neighbouring
    lines, and every R-th line is sampled outside of it. If the sampled lines end before the edge of k-space, as in a
    partial Fourier scan, then the lines beyond them stay as they are: complete them with :func:`deqjax.physics.pocs`.

    Args:
      kspace: (..., coil, y, x) complex; every leading index has its own weights.
      mask: (1, x) or (x,), as from ``deqjax.masks.CartesianEquispaced``.
      kernel: the number of samples along y (odd) and of sampled lines along x (even) that are combined.
      ridge: the regularisation of the fit, above 0; a larger value reduces the noise and blurs the image.

    Returns:
      The full k-space, with the shape and the units of the k-space. Measured samples do not change.
      ``rss(ifft2c(...))`` is the image.

    Raises:
      ValueError: the coil axis is missing, the mask does not fit, is not regular or holds another value than 0 and 1,
        the kernel size is invalid, or there are fewer calibration lines than the kernel spans, ``(lines - 1) R + 1``.

    Source: M. A. Griswold et al., "Generalized autocalibrating partially parallel acquisitions (GRAPPA)", Magn. Reson.
    Med. 47:1202, 2002, eqs. 1 and 2.

    >>> mask = np.arange(16) % 2 == 0
    >>> mask[4:12] = True
    >>> grappa(jnp.ones((3, 8, 16), complex), mask, kernel=(3, 2)).shape
    (3, 8, 16)
    """
    check_coil_axis(kspace)
    sampled = zero_one_mask(np.asarray(mask)) != 0
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
    span = (width - 1) * pattern.acceleration + 1
    if pattern.num_calibration < span:
        raise ValueError(
            f"mask has {pattern.num_calibration} calibration lines; a kernel of {width} lines at acceleration "
            f"{pattern.acceleration} spans {span}: sample more lines of the centre, or use fewer lines in the kernel"
        )
    return _fill_batch(kspace, jnp.asarray(sampled), pattern, kernel, ridge)


def regular_pattern(sampled: np.ndarray) -> RegularPattern:
    """Find the acceleration and the calibration lines of the sampled lines (x,), bool.

    Raises:
      ValueError: the pattern is not a run of calibration lines with every R-th line outside of it.

    >>> regular_pattern(np.array([0, 1, 0, 1, 1, 1, 0, 1, 0], bool))[:3]
    (2, 1, 4)
    """
    lines = np.flatnonzero(sampled)
    runs = np.split(lines, np.flatnonzero(np.diff(lines) > 1) + 1)
    run = max(runs, key=len)
    outside = np.setdiff1d(lines, run)
    for step in range(2, int(np.gcd.reduce(np.diff(outside))) + 1 if len(outside) > 1 else 0):
        regular = np.arange(outside[0], outside[-1] + 1, step)
        if np.isin(outside, regular).all() and sampled[regular].all():
            first, last = int(outside[0]), int(outside[-1])
            while first >= step and sampled[first - step]:  # the calibration lines of the regular pattern belong to it
                first -= step
            while last + step < len(sampled) and sampled[last + step]:
                last += step
            return RegularPattern(step, first, (last - first) // step + 1, int(run[0]), len(run))
    raise ValueError(
        f"mask is not regular: GRAPPA needs every R-th line outside the {len(run)} calibration lines from line "
        f"{run[0] if len(run) else 0}, but the lines outside are {outside.tolist()}: use Sense with a Reconstructor "
        "instead"
    )


@partial(jax.jit, static_argnames=("pattern", "kernel"))
def _fill_batch(
    kspace: jax.Array, sampled: jax.Array, pattern: RegularPattern, kernel: tuple[int, int], ridge: float
) -> jax.Array:
    fill = partial(_fill, pattern=pattern, kernel=kernel, ridge=ridge)
    filled = jax.lax.map(fill, kspace.reshape(-1, *kspace.shape[-3:]))
    step, first, count, *_ = pattern
    last, lines = first + (count - 1) * step, np.arange(kspace.shape[-1])
    after_first = lines >= (first if first >= step else 0)
    before_last = lines <= (last if last + step < len(lines) else len(lines))
    return jnp.where(sampled | ~(after_first & before_last), kspace, filled.reshape(kspace.shape))


def _fill(kspace: jax.Array, pattern: RegularPattern, kernel: tuple[int, int], ridge: float) -> jax.Array:
    """Compute every line between the regular lines of one k-space (coil, y, x); the other lines are zero."""
    step, first, count, start, number = pattern
    coils, y, x = kspace.shape
    height, width = kernel
    multiply = partial(jnp.einsum, precision="highest")

    # Fit the weights to the calibration lines.
    calibration = kspace[..., start : start + number]
    calibration = power_of_two_scale(calibration).apply(calibration)
    rows, columns = y - height + 1, number - (width - 1) * step
    sources = _neighbours(calibration, kernel, step, rows, columns)
    row, line = height // 2, (width // 2 - 1) * step
    targets = [calibration[:, row : row + rows, line + r : line + r + columns] for r in range(1, step)]
    gram = multiply("syx,tyx->st", jnp.conj(sources), sources)
    right = multiply("syx,rcyx->src", jnp.conj(sources), jnp.stack(targets)).reshape(len(gram), -1)
    level = ridge * jnp.trace(gram).real / len(gram)
    damped = gram + jnp.where(level > 0, level, 1) * jnp.eye(len(gram))
    weights = jax.scipy.linalg.solve(damped, right, assume_a="pos").reshape(-1, step - 1, coils)

    # Apply the weights to the regular lines.
    lines = kspace[..., first : first + (count - 1) * step + 1 : step]
    margins = [(0, 0), (height // 2, height // 2), (width // 2, width // 2)]
    found = multiply("src,syx->cyxr", weights, _neighbours(jnp.pad(lines, margins), kernel, 1, y, count + 1))
    blocks = jnp.pad(found, [(0, 0), (0, 0), (0, 0), (1, 0)]).reshape(coils, y, -1)  # from line ``first - step``
    filled = jnp.zeros((coils, y, x + 2 * step), kspace.dtype)
    return filled.at[..., first : first + blocks.shape[-1]].set(blocks)[..., step : step + x]


def _neighbours(lines: jax.Array, kernel: tuple[int, int], step: int, rows: int, columns: int) -> jax.Array:
    """Collect the samples under the kernel: (coil, y, x) to (kernel samples * coil, rows, columns)."""
    corners = [(a, step * b) for a in range(kernel[0]) for b in range(kernel[1])]
    return jnp.concatenate([lines[:, a : a + rows, b : b + columns] for a, b in corners])
