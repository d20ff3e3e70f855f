"""deqjax reconstruct: every kind of output, the verdict, the exit code, and files that other programs wrote."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from commands import refusal, succeed

import deqjax as dj
from deqjax.classical_methods import LeastSquares
from deqjax.reconstruction import Method
from deqjax.run import reconstruct_command
from deqjax.run.cli import main
from deqjax.run.compilation_cache import cache_folder

MASK = np.asarray(dj.masks.CartesianRandom(2, 0.2)((32, 32), 0))
SCAN = dj.data.phantom_volume(seed=3, shape=(2, 32, 32))
KSPACE = (MASK * SCAN.kspace).astype(np.complex64)
TARGET = np.abs(np.asarray(SCAN.target))


def ifft(kspace: np.ndarray) -> np.ndarray:
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, (-2, -1)), norm="ortho"), (-2, -1))


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return dj.data.write_volume(tmp_path / "in" / "scan.h5", KSPACE)


def read(path: Path) -> np.ndarray:
    """The magnitude (slice, y, x) in a file that the command wrote, read by the library of its kind."""
    if path.name.endswith((".nii", ".nii.gz")):
        nibabel = pytest.importorskip("nibabel")
        return np.asarray(nibabel.load(path).dataobj).transpose(2, 1, 0)
    if path.suffix == ".dcm":
        pydicom = pytest.importorskip("pydicom")
        series = [pydicom.dcmread(file) for file in sorted(path.iterdir())]
        return np.stack([one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in series])
    if path.suffix == ".h5":
        import h5py

        with h5py.File(path) as file:
            return file["reconstruction"][()]
    with np.load(path) as file:
        return np.abs(file["image"])


@pytest.mark.parametrize("kind", [".nii.gz", ".nii", ".h5", ".npz", ".dcm"])
def test_every_kind_of_output_holds_the_image(scan, tmp_path, kind, capsys):
    out = tmp_path / "out" / f"image{kind}"
    succeed("reconstruct", [str(scan), "-o", str(out), "--model", "zero-filled"])
    expected = np.abs(ifft(KSPACE))
    np.testing.assert_allclose(read(out), expected, atol=1e-4 * expected.max())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("scan.h5: zero-filled: 2 of 2 converged, 1.0 evaluations, nothing was trained")
    assert lines[0].endswith(f"-> {out}")
    assert lines[1] == "  assumed: The mask comes from the file (acceleration 3.20)."
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert "not overwritten" in refusal("reconstruct", [str(scan), "-o", str(out), "--model", "zero-filled"])


def test_a_picture_shows_the_slices_side_by_side(scan, tmp_path):
    image = pytest.importorskip("matplotlib.image")
    succeed("reconstruct", [str(scan), "-o", str(tmp_path / "a.png"), "--model", "zero-filled"])
    expected = np.concatenate(list(np.abs(ifft(KSPACE))), axis=1)
    white = np.percentile(expected, 99.8)
    np.testing.assert_allclose(image.imread(tmp_path / "a.png")[..., 0], np.clip(expected / white, 0, 1), atol=0.01)


def test_many_files_go_to_a_folder_or_a_pattern(scan, tmp_path, capsys):
    dj.data.write_npz(scan.with_name("b.npz"), KSPACE)
    dj.data.write_npz(scan.with_name("scan.npz"), KSPACE)
    (scan.parent / "broken.h5").write_bytes(b"nothing")
    arguments = ["reconstruct", str(scan.parent), "--model", "zero-filled", "-o"]
    assert main([*arguments, str(tmp_path / "images" / "{name}.npz")]) == 1
    assert "broken.h5" in capsys.readouterr().err
    written = {path.name for path in (tmp_path / "images").iterdir()}
    assert written == {"b.npz", "2-scan.npz", "3-scan.npz"}
    (scan.parent / "broken.h5").unlink()
    assert main([*arguments, str(tmp_path / "folder")]) == 0
    assert {path.name for path in (tmp_path / "folder").iterdir()} == {"b.nii.gz", "1-scan.nii.gz", "2-scan.nii.gz"}
    assert "name a folder, or a pattern" in refusal("reconstruct", [*arguments[1:], str(tmp_path / "one.npz")])
    assert "the kind of the output is unknown" in refusal("reconstruct", [*arguments[1:], str(tmp_path / "a.tif")])


def test_nothing_is_done_if_an_output_exists(scan, tmp_path, monkeypatch):
    dj.data.write_npz(scan.with_name("b.npz"), KSPACE)
    (tmp_path / "scan.npz").write_bytes(b"mine")
    monkeypatch.setattr(reconstruct_command, "prepare", None)
    arguments = [str(scan.parent), "-o", str(tmp_path / "{name}.npz")]
    assert "scan.npz: exists and is not overwritten" in refusal("reconstruct", arguments)
    assert (tmp_path / "scan.npz").read_bytes() == b"mine"


def test_the_exit_code_is_1_where_a_slice_did_not_converge(scan, tmp_path, monkeypatch, capsys):
    recon = dj.Reconstructor(LeastSquares(), solver=dj.solvers.Picard(max_steps=1, rtol=1e-6))
    monkeypatch.setattr(reconstruct_command, "load_method", lambda _: Method("hasty", recon, {}))
    assert main(["reconstruct", str(scan), "-o", str(tmp_path / "a.npz")]) == 1
    assert "hasty: 0 of 2 converged, 1.0 evaluations, no domain known" in capsys.readouterr().out
    assert (tmp_path / "a.npz").exists()


@pytest.mark.slow
def test_a_comparison_and_a_page(tmp_path, capsys):
    path = dj.data.write_npz(tmp_path / "full.npz", SCAN.kspace)
    out, report = tmp_path / "a.png", tmp_path / "report"
    options = ["--acceleration", "2", "--compare", "--report", str(report), "--model", "cg-sense"]
    succeed("reconstruct", [str(path), "-o", str(out), *options])
    text = capsys.readouterr().out
    assert "retrospective undersampling" in text
    for name in ("zero-filled", "cg-sense", "total-variation"):
        assert any(line.split()[:1] == [name] and " dB, SSIM " in line for line in text.splitlines())
    assert (tmp_path / "a-compare.png").read_bytes()[1:4] == b"PNG"
    assert "full.npz" in (report / "index.html").read_text()


def test_a_mask_in_a_file_undersamples_full_data(tmp_path):
    path = dj.data.write_npz(tmp_path / "full.npz", SCAN.kspace)
    mask = str(tmp_path / "mask.npy")
    np.save(mask, MASK)
    both = [str(path), "-o", str(tmp_path / "b.png"), "--mask", mask, "--acceleration", "2"]
    assert "give one of them" in refusal("reconstruct", both)
    succeed("reconstruct", [str(path), "-o", str(tmp_path / "b.npz"), "--mask", mask, "--model", "zero-filled"])
    np.testing.assert_allclose(read(tmp_path / "b.npz"), np.abs(ifft(KSPACE)), atol=1e-5)


def test_an_undersampled_file_is_not_undersampled_again(scan, tmp_path):
    message = refusal("reconstruct", [str(scan), "-o", str(tmp_path / "a.npz"), "--acceleration", "4"])
    assert "scan.h5: is undersampled already" in message


def similar(image: np.ndarray, truth: np.ndarray) -> float:
    """The correlation of two images."""
    return float(np.corrcoef(image.ravel(), np.abs(truth).ravel())[0, 1])


def run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def reconstructed(path: Path, *options: str) -> np.ndarray:
    """The image of the command, through NIfTI, and a PNG of the same."""
    for kind in (".nii.gz", ".png"):
        succeed("reconstruct", [str(path), "-o", str(path.parent / f"out{kind}"), "--model", "cg-sense", *options])
    return read(path.parent / "out.nii.gz")


@pytest.mark.skipif(shutil.which("bart") is None, reason="BART is not installed")
def test_files_of_bart(tmp_path):
    run(tmp_path, "bart", "phantom", "-k", "-x64", "-s4", "full")
    run(tmp_path, "bart", "upat", "-Y64", "-Z1", "-y2", "-c16", "pattern")
    run(tmp_path, "bart", "fmac", "full", "pattern", "kspace")
    run(tmp_path, "bart", "ecalib", "kspace", "maps")
    full = dj.data.read_cfl(tmp_path / "full.cfl").reshape(64, 64, 4).transpose(2, 0, 1)
    found = reconstructed(tmp_path / "kspace.cfl", "--maps", str(tmp_path / "maps.cfl"))
    assert similar(found[0], np.sqrt((np.abs(ifft(full)) ** 2).sum(axis=0))) > 0.9


@pytest.mark.skipif(shutil.which("ismrmrd_generate_cartesian_shepp_logan") is None, reason="ismrmrd-tools are missing")
@pytest.mark.parametrize("undersampled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_files_of_the_generator_of_ismrmrd(tmp_path, undersampled):
    options = ["-a", "2", "-w", "16"] if undersampled else []
    run(tmp_path, "ismrmrd_generate_cartesian_shepp_logan", "-m", "64", "-c", "4", "-n", "0", "-o", "a.h5", *options)
    found = reconstructed(tmp_path / "a.h5", "--maps", "low-resolution")
    run(tmp_path, "ismrmrd_generate_cartesian_shepp_logan", "-m", "64", "-c", "4", "-n", "0", "-o", "full.h5")
    full = dj.data.read_ismrmrd(tmp_path / "full.h5", remove_oversampling=True).kspace
    assert found.shape[1:] == (64, 64)
    assert similar(found[0], np.sqrt((np.abs(ifft(full)) ** 2).sum(axis=1))[0]) > 0.9


def test_files_of_sigpy(tmp_path):
    sigpy = pytest.importorskip("sigpy")
    pytest.importorskip("sigpy.mri")
    truth = sigpy.shepp_logan((64, 64))
    maps = sigpy.mri.birdcage_maps((4, 64, 64))
    mask = sigpy.mri.poisson((64, 64), 3, calib=(16, 16), seed=0)
    np.save(tmp_path / "kspace.npy", (mask * sigpy.fft(maps * truth, axes=(-1, -2)))[None])
    np.save(tmp_path / "maps.npy", maps)
    found = reconstructed(tmp_path / "kspace.npy", "--maps", str(tmp_path / "maps.npy"))
    assert similar(found[0], truth) > 0.9


def test_files_of_nibabel(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    nibabel.save(nibabel.Nifti1Image(TARGET.transpose(2, 1, 0), np.diag([1, 2, 3, 1])), tmp_path / "a.nii")
    found = reconstructed(tmp_path / "a.nii", "--acceleration", "2")
    assert similar(found, TARGET) > 0.9
    assert nibabel.load(tmp_path / "out.nii.gz").header.get_zooms() == (1, 2, 3)


def test_the_cache_is_a_documented_folder(monkeypatch, tmp_path):
    for name in ("DEQJAX_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache_folder() == Path("~/.cache/deqjax").expanduser()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "deqjax"
    monkeypatch.setenv("DEQJAX_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.setenv("DEQJAX_CACHE", "off")
    assert cache_folder() is None
