"""Tests of the checks for NaN and infinity in real and complex arrays."""

import numpy as np
import pytest

from deqjax.data.finite_checks import check_finite_read, check_finite_write


def test_finite_arrays_pass():
    check_finite_write("a", "x", np.array([1 + 1j, 0]))
    check_finite_read("a", "x", np.array([1 + 1j, 0]), 0, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, np.nan * 1j])
def test_errors_name_the_file(bad):
    with pytest.raises(ValueError, match=r"a: not written, there is NaN or infinity in x of shape \(2,\)"):
        check_finite_write("a", "x", np.array([1, bad]))
    with pytest.raises(ValueError, match="a: NaN or infinity in x of slices 3 to 4; leave these slices out"):
        check_finite_read("a", "x", np.array([1, bad]), 3, 4)
