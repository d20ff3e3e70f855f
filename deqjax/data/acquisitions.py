"""Undersampled k-space as training data: one or two acquisitions of every slice, the same ones in the whole run."""

from pathlib import Path
from typing import Any

import numpy as np

from deqjax.data.augment import Augment
from deqjax.data.batches import AUGMENT_STREAM, check_batch, check_shapes, slice_number
from deqjax.data.fourier_numpy import ifft2c
from deqjax.data.motion import RandomMotion, flow, move_object
from deqjax.data.noise_level import energy_scale, estimate_noise
from deqjax.data.slices import Slices
from deqjax.physics.calibration_region import calibration_size
from deqjax.pytree import operand
from deqjax.types import Mask


@operand
class MeasuredBatch:
    """Acquisitions of some slices. Nothing outside the masks is used, whatever it holds.

    >>> MeasuredBatch(np.zeros((2, 8, 6), complex), np.ones((2, 1, 6)), np.zeros(2), np.arange(2)).second is None
    True
    """

    kspace: Any
    """(batch, [coil,] y, x) complex64, undersampled and noisy."""

    mask: Any
    """(batch, 1, x), or (batch, y, x) for points, float32, of zeros and ones."""

    sigma: Any
    """(batch,), the standard deviation of the complex noise, in the units of the k-space."""

    number: Any
    """(batch,) int32, which slice it is."""

    second: tuple[Any, Any] | None = None
    """K-space and mask of a second acquisition of the same objects, with noise of its own."""

    full: Any = None
    """The full k-space without noise, only for objectives with targets."""

    velocity: Any = None
    """(batch, y, x, 2), the simulated motion in pixels: its flow takes points of the first acquisition to those of the
    second. Only :class:`deqjax.objectives.KnownMotion` reads it."""


class Acquisitions:
    """What a scanner gave of every slice, or would have given: a pure function of the slice.

    An undersampled file is taken as it is; its noise level is measured by `estimate_noise`. A fully sampled file is
    undersampled and noise is added, with random numbers from (seed, file name, slice). A new mask or new noise in every
    step would reveal the full, noise-free slice on average.

    Args:
      slices: the slices of the first acquisitions.
      mask: the sampling pattern for fully sampled files.
      noise: range of the standard deviation of the complex noise that is added to fully sampled files, relative to the
        scale of the slice (:func:`deqjax.objectives.noise_unit`). Both acquisitions of a slice have the same level.
      seed: seed of masks and noise.
      second: the slices of the second acquisitions, file by file and slice by slice as in ``slices``. Without it,
        second acquisitions can be simulated only.
      motion: how the object moves before a simulated second acquisition; None if it does not. The motion of a slice
        depends on (seed, file name, slice) as well.

    Raises:
      ValueError: the numbers of slices of the two acquisitions differ, or motion is simulated for measured pairs.

    >>> import tempfile
    >>> from deqjax import masks
    >>> from deqjax.data import write_phantoms
    >>> slices = Slices(write_phantoms(tempfile.mkdtemp(), count=1, shape=(2, 16, 16)))
    >>> acquisitions = Acquisitions(slices, masks.CartesianRandom(2, 0.25), noise=(0.1, 0.1))
    >>> kspace, mask, sigma = acquisitions.acquire(1)
    >>> kspace.shape, mask.shape, bool((acquisitions.acquire(1)[0] == kspace).all())
    ((16, 16), (1, 16), True)
    """

    def __init__(
        self,
        slices: Slices,
        mask: Mask,
        noise: tuple[float, float] = (0.0, 0.0),
        seed: int = 0,
        second: Slices | None = None,
        motion: RandomMotion | None = None,
    ) -> None:
        if second is not None and motion is not None:
            raise ValueError("data.motion simulates second acquisitions, and data.second names them: leave one out")
        if second is not None and len(second) != len(slices):
            raise ValueError(
                f"there are {len(slices)} slices of first acquisitions and {len(second)} of second ones (data.second): "
                "the files must hold the same slices in the same order"
            )
        self.slices, self._second, self._motion = slices, second, motion
        self._mask, self._noise, self._seed = mask, noise, seed

    def __len__(self) -> int:
        return len(self.slices)

    def acquire(self, i: int, which: int = 0) -> tuple[np.ndarray, np.ndarray, float]:
        """Return an acquisition of a slice: k-space, its mask, and the standard deviation of its noise.

        Args:
          i: number of the slice.
          which: 0 for the first acquisition, 1 for the second.

        Raises:
          ValueError: the file is damaged, or a second acquisition is asked for and there is none.
        """
        slices = self._second if which and self._second is not None else self.slices
        path, number = slices.index[i]
        kspace, mask = slices.measured(i)
        if mask is not None:
            if which and self._second is None:
                raise ValueError(
                    f"{path}: slice {number} is undersampled, so that no second acquisition can be simulated: name the "
                    "files of the second acquisitions in data.second, or use an objective that needs one, such as Split"
                )
            if kspace.ndim == 3:
                self._check_centre(path, number, mask)
            return kspace, mask, estimate_noise(kspace, mask)
        name = tuple(map(ord, path.name))
        mask = self._mask(kspace.shape, (self._seed, which, number, *name))
        level = np.random.default_rng((self._seed, 2, number, *name)).uniform(*self._noise)
        sigma = float(level * _energy_scale(kspace)) if level else 0.0
        if which and self._motion is not None:
            kspace = move_object(kspace, flow(-self.velocity(i)))
        if sigma:
            rng = np.random.default_rng((self._seed, which, number, *name))
            noise = rng.normal(size=(2, *kspace.shape)) * (sigma / np.sqrt(2))
            kspace = kspace + (noise[0] + 1j * noise[1]).astype(np.complex64)
        return mask * kspace, mask, sigma

    def velocity(self, i: int) -> np.ndarray:
        """Return the simulated motion of a slice, (y, x, 2) float32 in pixels, see :class:`MeasuredBatch`.

        Raises:
          ValueError: no motion is simulated.
        """
        if self._motion is None:
            raise ValueError("no motion is simulated: set data.motion")
        path, number = self.slices.index[i]
        rng = np.random.default_rng((self._seed, 3, number, *map(ord, path.name)))
        return self._motion.velocity(self.slices.measured(i)[0].shape[-2:], rng)

    def _check_centre(self, path: Path, number: int, mask: np.ndarray) -> None:
        """Raise a ValueError if the centre, from which the coil sensitivities are estimated, is not sampled fully."""
        fraction = self._mask.calibration_fraction
        start, count = calibration_size(mask.shape[-1], fraction or 0)
        if fraction is not None and mask.shape[-2] == 1 and not mask[..., start : start + count].all():
            raise ValueError(
                f"{path}: slice {number} does not sample the {count} central lines from which the coil sensitivities "
                f"are estimated; make mask.center_fraction, which is {fraction}, smaller"
            )

    def batch(
        self, batch_size: int, augment: Augment, seed: int, step: int, *, second: bool = False, full: bool = False
    ) -> MeasuredBatch:
        """Make the batch of one training step, in the order of :func:`deqjax.data.batch_at`.

        Args:
          batch_size: number of slices.
          augment: the random changes of each slice. Both acquisitions have the same ones.
          seed: seed of the order and of the augmentation.
          step: number of the training step, counted from 0.
          second: whether the second acquisitions are needed.
          full: whether the full k-space is needed.

        Raises:
          ValueError: a change is not exact for undersampled k-space, see :meth:`Augment.check_measured`; the slices of
            the batch differ in shape; or something is needed that the files do not have.
        """
        check_batch(batch_size, seed, step)
        numbers = [slice_number(len(self), seed, step * batch_size + position) for position in range(batch_size)]
        kspaces: list[list[np.ndarray]] = []
        masks, sigmas, velocities = [], [], []
        for position, i in enumerate(numbers):
            acquired, patterns, levels = zip(*(self.acquire(i, which) for which in range(1 + second)))
            for kspace, mask in zip(acquired, patterns):
                augment.check_measured(kspace.shape, mask.shape)
            wholes = [self.slices.example(i)] if full else []
            rng = np.random.default_rng((seed, AUGMENT_STREAM, step, position))
            kspaces.append(augment.measured([*acquired, *wholes], rng))
            masks.append(patterns)
            sigmas.append(levels[0])
            if second and self._motion is not None:
                rng = np.random.default_rng((seed, AUGMENT_STREAM, step, position))
                velocities.append(augment.field(self.velocity(i), rng))
        check_shapes([changed[0].shape for changed in kspaces], [self.slices.index[i] for i in numbers])
        columns, patterns = [np.stack(column) for column in zip(*kspaces)], [np.stack(column) for column in zip(*masks)]
        return MeasuredBatch(
            kspace=columns[0],
            mask=patterns[0],
            sigma=np.array(sigmas, np.float32),
            number=np.array(numbers, np.int32),
            second=(columns[1], patterns[1]) if second else None,
            full=columns[-1] if full else None,
            velocity=np.stack(velocities) if velocities else None,
        )


def _energy_scale(kspace: np.ndarray) -> float:
    """Return ``sqrt(sum |x|^4 / sum |x|^2)`` of the root sum of squares of the coil images."""
    images = ifft2c(kspace).reshape(-1, *kspace.shape[-2:])
    power = (images.real**2 + images.imag**2).sum(axis=0, dtype=np.float64)
    return energy_scale(power)
