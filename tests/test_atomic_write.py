"""Files and folders that are whole or absent: the name, failures, and what exists."""

import pytest

from deqjax.atomic_write import atomic_file, atomic_folder


def test_it_appears_when_the_block_ended_well(tmp_path):
    path = tmp_path / "new" / "a.nii.gz"
    with atomic_file(path, overwrite=False) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.name.endswith("a.nii.gz")  # writers look at the suffix
    assert path.read_text() == "whole"
    assert [p.name for p in path.parent.iterdir()] == ["a.nii.gz"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_failure_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), atomic_file(path, overwrite=True) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_what_exists_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(ValueError, match=r"a\.txt: exists and is not overwritten"):
        atomic_file(tmp_path / "a.txt", overwrite=False).__enter__()


def test_a_folder_appears_when_the_block_ended_well_and_clears_what_was_left(tmp_path):
    folder = tmp_path / "new" / "results"
    (tmp_path / "new" / ".results.partial").mkdir(parents=True)
    (tmp_path / "new" / ".results.partial" / "stale.txt").write_text("half")
    with atomic_folder(folder) as temporary:
        (temporary / "a.txt").write_text("whole")
        assert not folder.exists()
    assert [p.name for p in folder.iterdir()] == ["a.txt"]
    assert [p.name for p in folder.parent.iterdir()] == ["results"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failed_folder_leaves_nothing(tmp_path, error):
    with pytest.raises(error), atomic_folder(tmp_path / "results") as temporary:  # noqa: PT012
        (temporary / "a.txt").write_text("half")
        raise error
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "results").mkdir()
    with atomic_folder(tmp_path / "results") as temporary:
        (temporary / "a.txt").write_text("whole")
    with pytest.raises(ValueError, match="results: exists and is not overwritten"):
        atomic_folder(tmp_path / "results").__enter__()
    assert (tmp_path / "results" / "a.txt").read_text() == "whole"
