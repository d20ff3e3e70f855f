"""Error bars from the one-line way in and from the command: calibrate, reconstruct, files and page."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deqjax as dj
from deqjax import model_folders
from deqjax.config import Config
from deqjax.data import phantom_volume, write_npz
from deqjax.domain import Conditions, domain_of
from deqjax.reconstruction import Method
from deqjax.run.cli import main
from deqjax.uncertainty import Calibration, ErrorScale

SHAPE = (32, 32)
MASK = dj.masks.CartesianRandom(2, 0.2)(SHAPE, 0)
HALF_QUADRATIC = dj.maps.HalfQuadratic(dj.nets.LipschitzDnCNN(layers=2, features=4, bound=0.7))
RECON = dj.Reconstructor(HALF_QUADRATIC, dj.solvers.Anderson(max_steps=20, rtol=1e-2))
PARAMS = RECON.init(jax.random.key(0))


def calibration() -> Calibration:
    domain = domain_of("phantoms", [Conditions(3.0, 0.2, 0.1, 32, 32, 0.5, 1)])
    scale = ErrorScale(constant=-1.0, resampling_1=0.5)
    return Calibration("phantoms", 0.1, 0.1, (2.0,) * 9, (3.0,) * 9, scale, domain)


def method() -> Method:
    return Method("mine", RECON, PARAMS, calibration())


def test_a_reconstruction_has_intervals_and_a_bound_for_each_slice():
    kspace = MASK * phantom_volume(seed=1, shape=(2, *SHAPE), noise=0.02).kspace
    kspace[1] = 0
    result = dj.reconstruct_kspace(kspace, model=method(), uncertainty=True, smaps=None)
    bars, magnitude = result.uncertainty, np.abs(result.image)
    assert bars is not None
    assert bars.low.shape == bars.high.shape == bars.noise.shape == result.image.shape
    for values in (bars.low, bars.high, bars.noise):
        assert np.isfinite(values).all()
    assert ((bars.low <= magnitude) & (magnitude <= bars.high)).all()
    assert bars.width[0].max() > 0
    assert bars.psnr_at_least.shape == (2,)
    assert np.isfinite(bars.psnr_at_least[0])
    assert bars.psnr_at_least[1] == -np.inf
    assert (bars.coverage, bars.confidence) == (0.9, 0.9)
    assert "exchangeable" in str(bars)
    assert "error bars: PSNR" in str(result)
    certificate = result.certificate
    assert certificate is not None
    assert certificate.certified.all()
    assert "certified within" in str(result)
    A = dj.physics.MaskedFourier(jnp.asarray(MASK))
    direct = dj.certify(RECON, PARAMS, A, kspace, result.image)
    np.testing.assert_allclose(certificate.distance, direct.distance, rtol=1e-3, atol=1e-9)


@pytest.mark.slow
def test_one_slice_along_y_keeps_its_axes_and_its_image():
    kspace = (MASK * phantom_volume(seed=1, shape=(1, *SHAPE)).kspace[0]).T
    result = dj.reconstruct_kspace(kspace, model=method(), uncertainty=True, phase_axis=-2)
    assert result.uncertainty is not None
    assert np.shape(result.uncertainty.psnr_at_least) == ()
    assert result.uncertainty.low.shape == SHAPE
    assert (result.uncertainty.high >= np.abs(result.image)).all()
    plain = dj.reconstruct_kspace(kspace, model=method(), phase_axis=-2)
    assert plain.uncertainty is None
    np.testing.assert_allclose(plain.image, result.image, atol=1e-5 * np.abs(plain.image).max())


def test_a_method_without_a_calibration_is_refused_before_anything_is_computed(tmp_path):
    with pytest.raises(ValueError, match=r"no error bars.*deqjax calibrate"):
        dj.reconstruct_kspace(np.ones(SHAPE, complex), model="total-variation", uncertainty=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = Config("mine", map=HALF_QUADRATIC, mask=dj.masks.CartesianRandom(2, 0.2), solver=RECON.solver)
    return model_folders.save(tmp_path / "model", config, PARAMS, "card")


@pytest.mark.slow
def test_calibrate_then_reconstruct_with_files_and_a_page(folder, tmp_path, capsys):
    for name, seed, number in (("fit", 1, 3), ("held-out", 2, 9)):
        write_npz(tmp_path / f"{name}.npz", phantom_volume(seed=seed, shape=(number, *SHAPE), noise=0.02).kspace)
    fit, held_out = str(tmp_path / "fit.npz"), str(tmp_path / "held-out.npz")
    command = ["calibrate", str(folder), "--on", "phantoms", "--fit", fit, "--data"]
    assert main([*command, fit]) == 1
    assert "is in --fit and in --data" in capsys.readouterr().err
    assert main([*command, held_out, "--keep", str(tmp_path / "keep")]) == 0
    written = (folder / "calibration.toml").read_text()
    assert main([*command, held_out, "--keep", str(tmp_path / "keep")]) == 0
    assert (folder / "calibration.toml").read_text() == written
    made = model_folders.load_calibration(folder)
    assert made is not None
    assert len(made.scores) == 9
    kspace = (MASK * phantom_volume(seed=3, shape=(2, *SHAPE)).kspace).astype(np.complex64)
    scan = write_npz(tmp_path / "scan.npz", kspace)
    for kind in (".npz", ".h5", ".nii.gz"):
        page = ["--report", str(tmp_path / "page")] if kind == ".npz" else []
        out = tmp_path / "out" / f"a{kind}"
        assert main(["reconstruct", str(scan), "-o", str(out), "--model", str(folder), "--uncertainty", *page]) == 0
        assert "error bars: PSNR of the lowest of 2 slices at least" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"a.npz", "a.h5", "a.nii.gz", "a-low.nii.gz", "a-high.nii.gz"}
    with np.load(tmp_path / "out" / "a.npz") as file:
        assert (file["low"] <= file["high"]).all()
        assert file["psnr_at_least"].shape == (2,)
        low = file["low"]
    import h5py

    with h5py.File(tmp_path / "out" / "a.h5") as file:
        np.testing.assert_allclose(file["low"][()], low, rtol=1e-5)
    image = dj.data.open_scan(tmp_path / "out" / "a-low.nii.gz").target
    assert image is not None
    np.testing.assert_allclose(image, low, rtol=1e-3, atol=1e-6)
    page = (tmp_path / "page" / "index.html").read_text()
    assert "width of the intervals" in page
    assert "exchangeable" in page
