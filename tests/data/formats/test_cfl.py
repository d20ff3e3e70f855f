"""Tests of the array files of BART: bytes on disk, round trips and errors."""

import numpy as np
import pytest

from deqjax.data import read_cfl, write_cfl


def numbered(*shape):
    """Return complex values that are all different."""
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return (values - 1j * values[..., ::-1]).astype(np.complex64)


@pytest.mark.parametrize("shape", [(1,), (7,), (7, 5), (1, 5), (3, 1, 5), (2, 3, 1, 4, *[1] * 9, 3), (2,) * 16])
def test_round_trip_is_bit_equal(tmp_path, shape):
    array = numbered(*shape)
    path = write_cfl(tmp_path / "a", array)
    np.testing.assert_array_equal(read_cfl(path).reshape(shape), array)
    assert read_cfl(path).dtype == np.complex64
    for name in ("a", "a.cfl", "a.hdr"):
        np.testing.assert_array_equal(read_cfl(tmp_path / name), read_cfl(path))


def test_the_bytes_are_column_major_little_endian(tmp_path):
    write_cfl(tmp_path / "new" / "a.cfl", np.array([[1, 2 + 3j], [4, 5]]))
    assert (tmp_path / "new" / "a.hdr").read_text() == "# Dimensions\n2 2 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n"
    stored = np.frombuffer((tmp_path / "new" / "a.cfl").read_bytes(), "<f4")
    np.testing.assert_array_equal(stored, [1, 0, 4, 0, 2, 3, 5, 0])
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["a.cfl", "a.hdr"]


def test_reads_a_header_as_bart_writes_it(tmp_path):
    """The header has fewer than 16 sizes, and further sections before and after them."""
    (tmp_path / "b.cfl").write_bytes(np.arange(6, dtype="<c8").tobytes())
    (tmp_path / "b.hdr").write_text("# Creator\nBART v0.9\n# Dimensions\n2 3 1 \n# Command\nphantom b\n# Files\n >b\n")
    np.testing.assert_array_equal(read_cfl(tmp_path / "b"), [[0, 2, 4], [1, 3, 5]])
    (tmp_path / "b.hdr").write_text("3 2\n")
    assert read_cfl(tmp_path / "b").shape == (3, 2)


def test_names_may_contain_dots(tmp_path):
    write_cfl(tmp_path / "scan.1", numbered(2, 3))
    write_cfl(tmp_path / "scan.2", numbered(4, 3))
    assert read_cfl(tmp_path / "scan.1").shape == (2, 3)
    assert sorted(p.name for p in tmp_path.glob("*.hdr")) == ["scan.1.hdr", "scan.2.hdr"]


def test_agrees_with_the_published_python_reader(tmp_path):
    """BART's own Python reader takes the sizes of the second line, then column-major complex64."""
    array = numbered(5, 3, 1, 2)
    path = write_cfl(tmp_path / "a", array)
    dims = [int(word) for word in path.with_suffix(".hdr").read_text().splitlines()[1].split()]
    assert len(dims) == 16
    np.testing.assert_array_equal(np.fromfile(path, np.complex64).reshape(dims, order="F").squeeze(), array.squeeze())


def test_a_size_that_disagrees_with_the_header_raises(tmp_path):
    path = write_cfl(tmp_path / "a", numbered(4, 3))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"a\.cfl: has 88 bytes, but a\.hdr says 4 x 3 x .* which are 96 .*copy both"):
        read_cfl(path)


@pytest.mark.parametrize("text", ["", "# Dimensions\n", "# Dimensions\n2 x 3\n", "# Dimensions\n2 0\n", "1 " * 17])
def test_a_header_without_dimensions_raises(tmp_path, text):
    path = write_cfl(tmp_path / "a", numbered(4, 3))
    (tmp_path / "a.hdr").write_text(text)
    with pytest.raises(ValueError, match=r"a\.hdr: no dimensions; expected a line '# Dimensions'"):
        read_cfl(path)


def test_a_missing_header_or_data_file_raises(tmp_path):
    path = write_cfl(tmp_path / "a", numbered(4, 3))
    for missing in ("a.hdr", "a.cfl"):
        kept = (tmp_path / missing).read_bytes()
        (tmp_path / missing).unlink()
        with pytest.raises(ValueError, match=rf"{missing}: no such file; a BART array is a\.hdr and a\.cfl"):
            read_cfl(path)
        (tmp_path / missing).write_bytes(kept)


def test_existing_files_are_kept_unless_overwrite_is_set(tmp_path):
    path = write_cfl(tmp_path / "a", numbered(4, 3))
    with pytest.raises(ValueError, match=r"a\.hdr: exists and is not overwritten"):
        write_cfl(path, numbered(2, 2))
    path.with_suffix(".hdr").rename(tmp_path / "kept")
    with pytest.raises(ValueError, match=r"a\.cfl: exists and is not overwritten"):
        write_cfl(path, numbered(2, 2))
    (tmp_path / "kept").rename(tmp_path / "a.hdr")
    assert read_cfl(path).shape == (4, 3)
    assert read_cfl(write_cfl(path, numbered(2, 2), overwrite=True)).shape == (2, 2)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((1,) * 17), "BART has 1 to 16 axes"),
        (np.ones((0, 3)), r"shape \(0, 3\)"),
        (np.array([1, np.nan]), "NaN or infinity in the array"),
    ],
)
def test_invalid_arrays_are_not_written(tmp_path, array, message):
    with pytest.raises(ValueError, match=message):
        write_cfl(tmp_path / "a", array)
    assert not list(tmp_path.iterdir())
