"""Tests against the program BART, in both directions; they are skipped if it is not installed."""

import shutil
import subprocess

import numpy as np
import pytest

from deqjax.data import open_scan, read_cfl, write_bart
from deqjax.data.fourier_numpy import ifft2c

pytestmark = pytest.mark.skipif(shutil.which("bart") is None, reason="the program bart is not installed")


@pytest.fixture
def bart(tmp_path):
    def run(command):
        return subprocess.run(["bart", *command.split()], cwd=tmp_path, check=True, capture_output=True, text=True)

    return run


def test_slices_with_coils_agree_with_bart(tmp_path, bart):
    bart("phantom -x 24 -s 3 -k kspace")
    for number in range(2):
        bart(f"noise -s {number} -n 0.01 kspace slice{number}")
    bart("join 13 slice0 slice1 slices")
    bart("fft -u -i 7 slices images")
    scan = open_scan(tmp_path / "slices.cfl")
    assert scan.kspace.shape == (2, 3, 24, 24)
    expected = read_cfl(tmp_path / "images").reshape(24, 24, 3, 2).transpose(3, 2, 0, 1)
    np.testing.assert_allclose(ifft2c(scan.kspace), expected, atol=1e-5 * abs(expected).max())


def test_an_undersampled_volume_agrees_with_bart(tmp_path, bart):
    bart("phantom -3 -x 24 -s 3 -k kspace")
    bart("poisson -Y 24 -Z 24 -y 1.5 -z 1.5 -C 8 -e pattern")
    bart("fmac kspace pattern undersampled")
    bart("fft -u -i 7 undersampled images")
    scan = open_scan(tmp_path / "undersampled.cfl")
    np.testing.assert_array_equal(scan.mask, read_cfl(tmp_path / "pattern")[0].real.T)
    expected = read_cfl(tmp_path / "images").transpose(0, 3, 2, 1)
    np.testing.assert_allclose(ifft2c(scan.kspace), expected, atol=1e-5 * abs(expected).max())


def test_bart_reads_what_we_write(tmp_path, bart):
    rng = np.random.default_rng(0)
    kspace = (rng.standard_normal((2, 3, 10, 7)) + 1j * rng.standard_normal((2, 3, 10, 7))).astype(np.complex64)
    write_bart(tmp_path / "ours", kspace)
    bart("fft -u -i 3 ours images")
    np.testing.assert_allclose(
        read_cfl(tmp_path / "images").reshape(10, 7, 3, 2).transpose(3, 2, 0, 1), ifft2c(kspace), atol=1e-5
    )
    bart("scale 2 ours twice")
    np.testing.assert_array_equal(open_scan(tmp_path / "twice.cfl").kspace, 2 * kspace)
