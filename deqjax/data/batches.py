"""Training batches: k-space and masks of one step, and the background thread that makes them ahead of time."""

import itertools
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np

from deqjax.data.augment import Augment
from deqjax.data.slices import Slices
from deqjax.physics.array_checks import zero_one_mask
from deqjax.pytree import operand
from deqjax.types import Mask

T = TypeVar("T")
SHUFFLE_STREAM, AUGMENT_STREAM = 0, 1
"""Second entry of a random seed: separates the order of the slices from their augmentation."""


@operand
class Batch:
    """Fully sampled k-space of some slices and their masks; the training step samples it as ``mask * kspace``.

    Raises:
      ValueError: the mask holds another value than 0 and 1; masks of bools and integers become float32.

    >>> batch = Batch(kspace=np.zeros((2, 8, 6), np.complex64), mask=np.ones((2, 1, 6), np.float32))
    >>> jax.tree.map(np.shape, batch)
    Batch(kspace=(2, 8, 6), mask=(2, 1, 6))
    """

    kspace: jax.Array | np.ndarray
    """(batch, y, x) or (batch, coil, y, x), complex64, **fully sampled**."""

    mask: jax.Array | np.ndarray
    """(batch, 1, x) float32, which holds only 0 and 1; broadcasts against (batch, y, x)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", zero_one_mask(self.mask))


def batch_at(slices: Slices, mask: Mask, batch_size: int, augment: Augment, seed: int, step: int) -> Batch:
    """Make the batch of one training step; it depends on the arguments alone, so that training resumes exactly.

    The epochs follow each other without a gap, and each one visits the slices in a new random order. Example ``p`` of
    step ``t`` has the number ``n = t batch_size + p`` in this sequence. It is the slice ``order_e[n mod N]`` of epoch
    ``e = n // N``, where ``order_e`` is a permutation drawn from (seed, e). Every slice therefore comes once an epoch
    for any batch size, and a batch may hold slices of two epochs. The augmentation is drawn from (seed, t, p), and the
    mask is ``mask(shape, (seed, t, p))``.

    Args:
      slices: the training slices.
      mask: makes the mask of a slice.
      batch_size: number of slices in the batch.
      augment: the random changes of each slice.
      seed: seed of the order, the augmentation and the masks.
      step: number of the training step, counted from 0.

    Returns:
      The batch, in NumPy arrays.

    Raises:
      ValueError: slices of unequal shape in one batch, a bad batch size, or a negative seed or step.

    >>> import tempfile
    >>> from deqjax import masks
    >>> from deqjax.data import write_phantoms
    >>> slices = Slices(write_phantoms(tempfile.mkdtemp(), count=1, shape=(3, 16, 16)))
    >>> batch = batch_at(slices, masks.CartesianRandom(2, 0.2), batch_size=2, augment=Augment(), seed=0, step=7)
    >>> batch.kspace.shape, batch.mask.shape
    ((2, 16, 16), (2, 1, 16))
    """
    check_batch(batch_size, seed, step)
    kspaces, patterns, origins = [], [], []
    for position in range(batch_size):
        i = slice_number(len(slices), seed, step * batch_size + position)
        rng = np.random.default_rng((seed, AUGMENT_STREAM, step, position))
        kspaces.append(augment(slices.example(i), rng))
        patterns.append(mask(kspaces[-1].shape, (seed, step, position)))
        origins.append(slices.index[i])
    check_shapes([kspace.shape for kspace in kspaces], origins)
    return Batch(np.stack(kspaces), np.stack(patterns))


def check_batch(batch_size: int, seed: int, step: int) -> None:
    """Raise a ValueError for a batch size, a seed or a step that is out of its range."""
    if batch_size < 1 or seed < 0 or step < 0:
        raise ValueError(f"need batch_size >= 1, seed >= 0 and step >= 0; got {batch_size}, {seed} and {step}")


def check_shapes(shapes: Sequence[tuple[int, ...]], origins: Sequence[tuple[Path, int]]) -> None:
    """Raise a ValueError if the slices of one batch, with these files and numbers, differ in shape."""
    if len(set(shapes)) > 1:
        found = ", ".join(f"{path.name} {shape}" for (path, _), shape in zip(origins, shapes))
        raise ValueError(
            f"the slices of one batch need one k-space shape ([coil,] y, x), got {found}: set data.crop or augment.crop"
        )


def slice_number(total: int, seed: int, n: int) -> int:
    """Return which of ``total`` slices has the number ``n`` in the endless sequence of shuffled epochs.

    >>> sorted(slice_number(4, seed=0, n=n) for n in range(4, 8))
    [0, 1, 2, 3]
    """
    epoch, offset = divmod(n, total)
    return int(np.random.default_rng((seed, SHUFFLE_STREAM, epoch)).permutation(total)[offset])


def prefetch(make: Callable[[int], T], start: int = 0, depth: int = 2) -> Generator[T, None, None]:
    """Yield ``make(start), make(start + 1), ...`` without end, made ahead of time in one background thread.

    An exception of ``make`` is raised when its item is due. The thread starts with the first item. It ends when the
    generator is closed or deleted, or has raised an exception.

    Args:
      make: makes the item of a step.
      start: the first step.
      depth: number of items that are made ahead.

    Returns:
      A generator of the items.

    Raises:
      ValueError: the depth is below 1.

    >>> squares = prefetch(lambda step: step**2, start=3)
    >>> next(squares), next(squares)
    (9, 16)
    >>> squares.close()
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}")
    return _generate(make, start, depth)


def _generate(make: Callable[[int], T], start: int, depth: int) -> Generator[T, None, None]:
    steps = itertools.count(start)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as worker:
        pending = deque(worker.submit(make, next(steps)) for _ in range(depth))
        try:
            while True:
                item = pending.popleft().result()
                pending.append(worker.submit(make, next(steps)))
                yield item
        finally:
            for future in pending:
                future.cancel()
