"""Tests of the slice index and of training batches, which depend on their arguments alone."""

from collections import Counter
from pathlib import Path

import jax
import numpy as np
import pytest

from deqjax import masks
from deqjax.data import (
    Augment,
    Batch,
    Slices,
    batch_at,
    crop_field_of_view,
    lower_resolution,
    phantom_volume,
    read_volume,
    write_bart,
    write_ismrmrd,
    write_npz,
    write_phantoms,
    write_volume,
)
from deqjax.data.batches import slice_number

MASK = masks.CartesianRandom(1.5, 0.2)


def constant(value, *shape):
    return np.full(shape, value, np.complex64)


@pytest.fixture
def files(tmp_path):
    """Write three files of 2, 3 and 2 slices; every slice is filled with its own number, 0 to 6."""
    numbers = iter(range(7))
    return [
        write_volume(tmp_path / f"{i}.h5", np.stack([constant(next(numbers), 9, 12) for _ in range(count)]))
        for i, count in enumerate((2, 3, 2))
    ]


def number(kspace):
    return int(kspace.real.ravel()[0])


def test_index_over_files(files):
    slices = Slices(files)
    assert len(slices) == 7
    assert [number(slices.example(i)) for i in range(7)] == list(range(7))
    assert not slices.example(0).flags.writeable
    for i in (-1, 7):
        with pytest.raises(ValueError, match=f"no slice {i}: there are 7"):
            slices.example(i)


def test_slice_range_skips_slices_that_short_volumes_lack(files):
    slices = Slices(files, slices=(1, 2))
    assert [number(slices.example(i)) for i in range(len(slices))] == [1, 3, 4, 6]
    with pytest.raises(ValueError, match=r"0.h5: none of the slices 2 to 5, it has 2"):
        Slices(files, slices=(2, 5))


@pytest.mark.parametrize(("mode", "smaller"), [("field_of_view", crop_field_of_view), ("resolution", lower_resolution)])
@pytest.mark.parametrize("coils", [1, 3])
def test_crop_modes_agree_with_the_crop_functions(tmp_path, mode, smaller, coils):
    path = write_phantoms(tmp_path, count=1, shape=(2, 20, 17), coils=coils)[0]
    slices = Slices([path], crop=(12, 11), crop_mode=mode)
    np.testing.assert_array_equal(slices.example(1), smaller(read_volume(path).kspace[1], (12, 11)))


@pytest.mark.parametrize("cache_bytes", [0, 2 * 9 * 12 * 8, 10**6])
def test_cache_respects_its_limit_and_changes_no_result(files, cache_bytes, monkeypatch):
    from deqjax.data import slices as module

    reads: Counter[tuple[Path, int]] = Counter()
    read = module.read_kspace

    def count_and_read(path, i):
        reads.update([(path, i)])
        return read(path, i)

    monkeypatch.setattr(module, "read_kspace", count_and_read)
    slices = Slices(files, cache_bytes=cache_bytes)
    for i in (0, 1, 0, 2, 0, 3, 4, 5, 6, 0):
        assert number(slices.example(i)) == i
        assert sum(kept.nbytes for kept, _ in slices._cache.values()) <= cache_bytes
    assert reads[(files[0], 0)] == {0: 4, 2 * 9 * 12 * 8: 2, 10**6: 1}[cache_bytes]


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("coils", [(), (2,)])
def test_batch_has_the_documented_shapes_and_is_an_operand(tmp_path, batch_size, coils):
    path = write_volume(tmp_path / "a.h5", constant(1, 4, *coils, 9, 12))
    batch = batch_at(Slices([path]), MASK, batch_size, Augment(), seed=0, step=0)
    assert batch.kspace.shape == (batch_size, *coils, 9, 12)
    assert batch.mask.shape == (batch_size, 1, 12)
    assert (batch.kspace.dtype, batch.mask.dtype) == (np.complex64, np.float32)
    assert len(jax.tree.leaves(batch)) == 2
    assert batch.kspace.all(), "fully sampled"


def test_batch_depends_on_its_arguments_alone(files):
    augment = Augment(flips=True, phase=1.0, crop=(8, 10), gain=0.2)
    make = lambda seed, step, slices: batch_at(slices, MASK, 3, augment, seed, step)
    fresh, used = Slices(files), Slices(files, cache_bytes=0)
    for step in range(5):
        make(0, step, used)
    same = (make(0, 4, fresh), make(0, 4, used))
    for a, b in zip(jax.tree.leaves(same[0]), jax.tree.leaves(same[1])):
        np.testing.assert_array_equal(a, b)
    for other in (make(1, 4, fresh), make(0, 3, fresh)):
        assert not np.array_equal(other.kspace, same[0].kspace)
        assert not np.array_equal(other.mask, same[0].mask)


def test_augmentation_differs_for_every_seed_step_and_position(tmp_path):
    slices = Slices([write_volume(tmp_path / "a.h5", constant(1, 1, 9, 12))])
    drawn = [batch_at(slices, MASK, 2, Augment(phase=1.0), seed, step).kspace for seed in range(2) for step in range(3)]
    assert len({kspace.tobytes() for batch in drawn for kspace in batch}) == 12


def test_masks_are_seeded_by_seed_step_and_position(files):
    batch = batch_at(Slices(files), MASK, 3, Augment(), seed=5, step=9)
    for position in range(3):
        np.testing.assert_array_equal(batch.mask[position], MASK((9, 12), (5, 9, position)))
    assert len({mask.tobytes() for mask in batch.mask}) == 3


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 10])
def test_every_slice_comes_once_an_epoch_for_any_batch_size(files, batch_size):
    slices = Slices(files)
    sequence = [
        number(kspace)
        for step in range(-(-21 // batch_size))
        for kspace in batch_at(slices, MASK, batch_size, Augment(), seed=0, step=step).kspace
    ][:21]
    epochs = [tuple(sequence[start : start + 7]) for start in (0, 7, 14)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len(set(epochs)) == 3, "every epoch has another order"
    assert sequence == [slice_number(7, 0, n) for n in range(21)]


def test_slices_of_unequal_shape_need_a_crop(tmp_path):
    paths = [write_volume(tmp_path / f"{x}.h5", constant(1, 1, 10, x)) for x in (8, 9)]
    with pytest.raises(ValueError, match=r"8.h5 \(10, 8\).*set data.crop or augment.crop") as error:
        batch_at(Slices(paths), MASK, 2, Augment(), seed=0, step=0)
    assert "9.h5 (10, 9)" in str(error.value)
    for slices, augment in ((Slices(paths, crop=(8, 8)), Augment()), (Slices(paths), Augment(crop=(8, 8)))):
        assert batch_at(slices, MASK, 2, augment, seed=0, step=0).kspace.shape == (2, 8, 8)
    with pytest.raises(ValueError, match=r"8.h5: cannot crop .*data.crop"):
        Slices(paths, crop=(8, 9)).example(0)


def test_single_and_multi_coil_files_in_one_list_raise(tmp_path):
    paths = [
        write_volume(tmp_path / "a.h5", constant(1, 1, 8, 8)),
        write_volume(tmp_path / "b.h5", constant(1, 1, 2, 8, 8)),
    ]
    with pytest.raises(ValueError, match=r"b.h5 has coils .*a.h5 has none"):
        Slices(paths)


def test_invalid_settings_raise(files, tmp_path):
    with pytest.raises(ValueError, match="no files"):
        Slices([])
    with pytest.raises(ValueError, match="crop_mode must be one of"):
        Slices(files, crop_mode="zoom")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"none.h5: no such file"):
        Slices([tmp_path / "none.h5"])
    for batch_size, seed, step in ((0, 0, 0), (1, -1, 0), (1, 0, -1)):
        with pytest.raises(ValueError, match="batch_size >= 1, seed >= 0 and step >= 0"):
            batch_at(Slices(files), MASK, batch_size, Augment(), seed, step)


def test_files_may_be_of_any_format(tmp_path):
    kspace = phantom_volume(0, (3, 16, 16), coils=2).kspace
    files = [
        write_volume(tmp_path / "a.h5", kspace),
        write_ismrmrd(tmp_path / "b.h5", kspace),
        write_bart(tmp_path / "c", kspace),
        write_npz(tmp_path / "d.npz", kspace),
    ]
    slices = Slices(files, slices=(1, 2))
    assert len(slices) == 8
    for i in range(8):
        np.testing.assert_array_equal(slices.example(i), kspace[1 + i % 2])


def test_undersampled_files_raise(tmp_path):
    kspace = phantom_volume(0, (2, 16, 16)).kspace
    mask = MASK((16, 16), 0)
    files = [
        write_volume(tmp_path / "a.h5", kspace, mask=mask),
        write_ismrmrd(tmp_path / "b.h5", kspace, mask),
        write_bart(tmp_path / "c", kspace * mask),
        write_npz(tmp_path / "d.npz", kspace, mask=mask),
        write_volume(tmp_path / "no_mask.h5", kspace * mask),
        write_npz(tmp_path / "no_mask.npz", kspace * mask),
    ]
    slices = Slices(files)
    for i, path in enumerate(files):
        with pytest.raises(ValueError, match=rf"{path.name}: .*undersampled.*give fully sampled files"):
            slices.example(2 * i)


@pytest.mark.parametrize("mask", [255.0, 0.5, np.nan])
def test_masks_of_a_batch_hold_only_0_and_1(mask):
    kspace = np.zeros((2, 8, 6), np.complex64)
    with pytest.raises(ValueError, match="mask must hold only 0"):
        Batch(kspace, np.full((2, 1, 6), mask, np.float32))
    assert Batch(kspace, np.ones((2, 1, 6), bool)).mask.dtype == np.float32
