"""Tests of the smallest mask of a pattern, of masks found in k-space, and of slice ranges."""

import numpy as np
import pytest

from deqjax.data.scan import find_mask, mask_of_empty_lines, shared_mask, slice_range

LINES = np.array([True, False, True, True])
ROWS = np.array([True, True, False])


@pytest.mark.parametrize(
    ("sampled", "expected"),
    [
        (np.ones((2, 3, 4), bool), None),
        (np.broadcast_to(LINES, (2, 3, 4)), LINES[None]),
        (np.broadcast_to(ROWS[:, None], (2, 3, 4)), np.broadcast_to(ROWS[:, None], (3, 4))),
        (np.stack([LINES[None], ~LINES[None]]), np.stack([LINES[None], ~LINES[None]])),
        (np.stack([np.outer(ROWS, LINES), np.outer(~ROWS, LINES)]), "unchanged"),
        (np.stack([np.zeros((3, 4), bool), np.broadcast_to(LINES, (3, 4))]), LINES[None]),
        (np.stack([np.zeros((3, 4), bool), np.ones((3, 4), bool)]), None),
    ],
)
def test_shared_mask_is_the_smallest_equivalent_mask(sampled, expected):
    mask = shared_mask(sampled)
    if expected is None:
        assert mask is None
    else:
        np.testing.assert_array_equal(mask, sampled if isinstance(expected, str) else expected)
        assert mask is not None
        assert mask.dtype == np.float32


@pytest.mark.parametrize("coils", [(), (2,)])
def test_find_mask_takes_rows_and_lines(coils):
    kspace = np.ones((2, *coils, 3, 4), np.complex64) * LINES
    np.testing.assert_array_equal(find_mask(kspace), LINES[None])
    np.testing.assert_array_equal(find_mask(kspace * ROWS[:, None]), np.outer(ROWS, LINES))
    kspace[0, ..., 1, 2] = 0  # one value that happens to be zero
    np.testing.assert_array_equal(find_mask(kspace), LINES[None])
    assert find_mask(np.zeros_like(kspace)) is None


@pytest.mark.parametrize("slices", [(-1, 2), (2, 1), (0, 5), (5, 5)])
def test_slices_outside_the_file_raise(slices):
    with pytest.raises(ValueError, match=rf"file: no slices {slices[0]} to {slices[1]}; it has 5, counted from 0"):
        slice_range("file", slices, 5)


@pytest.mark.parametrize(
    ("lines", "padding", "undersampled"),
    [
        ([1, 1, 1, 1, 1, 1], None, False),
        ([1, 0, 1, 1, 0, 1], None, True),
        ([0, 1, 1, 1, 1, 0], None, False),  # zero padding
        ([0, 1, 1, 1, 1, 1], None, False),  # zero padding of an odd number of lines
        ([0, 0, 1, 1, 1, 1], None, True),  # partial Fourier
        ([0, 0, 1, 1, 1, 1], (2, 6), False),
        ([0, 1, 0, 1, 1, 0], (1, 5), True),
    ],
)
def test_empty_lines_are_a_mask_only_where_the_scan_is_undersampled(lines, padding, undersampled):
    for kspace in (np.ones((2, 3, 8, 6)) * np.array(lines), np.ones((2, 8, 6)) * np.array(lines)):
        mask = mask_of_empty_lines(kspace, padding)
        assert (mask is not None) == undersampled
        if mask is not None:
            np.testing.assert_array_equal(mask, [lines])


def test_a_pattern_of_points_is_a_mask():
    points = np.random.default_rng(0).uniform(size=(16, 16)) < 0.3
    np.testing.assert_array_equal(mask_of_empty_lines(np.ones((2, 3, 16, 16)) * points), points)
