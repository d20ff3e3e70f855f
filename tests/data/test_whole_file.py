"""Files that are whole or absent: the name, failures, and what exists."""

import numpy as np
import pytest

from deqjax.data.whole_file import check_finite, whole_file


def test_it_appears_when_the_block_ended_well(tmp_path):
    path = tmp_path / "new" / "a.nii.gz"
    with whole_file(path, overwrite=False) as beside:
        beside.write_text("whole")
        assert not path.exists()
        assert beside.name.endswith("a.nii.gz")  # writers look at the suffix
    assert path.read_text() == "whole"
    assert [p.name for p in path.parent.iterdir()] == ["a.nii.gz"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_failure_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), whole_file(path, overwrite=True) as beside:  # noqa: PT012
        beside.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_what_exists_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(ValueError, match=r"a\.txt: exists and is not overwritten"):
        whole_file(tmp_path / "a.txt", overwrite=False).__enter__()


def test_check_finite():
    check_finite("a", "x", np.array([1 + 1j, 0]))
    with pytest.raises(ValueError, match=r"a: not written, there is NaN or infinity in x of shape \(2,\)"):
        check_finite("a", "x", np.array([1, np.nan * 1j]))
