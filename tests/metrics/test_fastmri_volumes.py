"""All metrics of fastMRI on volumes, against its formulas written out: every one within 1e-5."""

import jax
import numpy as np
import pytest
from scipy.ndimage import uniform_filter
from sewar.full_ref import vifp
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from deqjax.metrics import nmse, psnr, ssim, vif

SHAPE = (4, 62, 53)


def _volumes(seed):
    """Slices of different brightness, so that a metric of slices is far from that of the volume."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : SHAPE[1] * 1j, -1 : 1 : SHAPE[2] * 1j]
    disc = (x**2 + 1.3 * y**2 < 0.6) * (0.9 + 0.1 * np.sin(9 * x + seed))
    target = disc * np.array([1.0, 0.5, 0.2, 0.05])[:, None, None] * 10 ** rng.uniform(-6, 6)
    return np.abs(target + target.max() * rng.uniform(0.01, 0.1) * rng.standard_normal(SHAPE)), target


def _fastmri(image, target):
    """NMSE, PSNR and SSIM as published: norms and the largest value over the volume, 7 x 7 windows, sample covariance.

    Zbontar et al. 2018, arXiv:1811.08839, section 5.3 (equations 9 to 11), with K1 = 0.01 and K2 = 0.03.
    """
    nmse = np.linalg.norm(target - image) ** 2 / np.linalg.norm(target) ** 2
    psnr = 10 * np.log10(target.max() ** 2 / np.mean((target - image) ** 2))
    similarities = []
    for a, b in zip(target, image):
        inner = (slice(3, -3), slice(3, -3))
        mean_a, mean_b = uniform_filter(a, 7), uniform_filter(b, 7)
        sample = 49 / 48
        var_a, var_b = (sample * (uniform_filter(v * v, 7) - m * m) for v, m in ((a, mean_a), (b, mean_b)))
        covariance = sample * (uniform_filter(a * b, 7) - mean_a * mean_b)
        c1, c2 = (0.01 * target.max()) ** 2, (0.03 * target.max()) ** 2
        above = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
        below = (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
        similarities.append((above / below)[inner].mean())
    return nmse, psnr, np.mean(similarities)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(3))
def test_volumes_agree_with_fastmri_scikit_image_and_sewar(seed, dtype):
    image, target = _volumes(seed)
    with jax.enable_x64(dtype == "float64"):
        found = [float(f(image.astype(dtype), target.astype(dtype))) for f in (nmse, psnr, ssim, vif)]
    image, target = (volume.astype(dtype).astype(float) for volume in (image, target))
    expected = [
        *_fastmri(image, target),
        np.mean([vifp(255 / target.max() * t, 255 / target.max() * i) for i, t in zip(image, target)]),
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    largest = target.max()
    slices = [structural_similarity(i, t, data_range=largest) for i, t in zip(image, target)]
    assert expected[1] == pytest.approx(peak_signal_noise_ratio(target, image, data_range=largest), abs=1e-9)
    assert expected[2] == pytest.approx(np.mean(slices), abs=1e-9)
    of_slices = np.mean([peak_signal_noise_ratio(t, i, data_range=t.max()) for i, t in zip(image, target)])
    assert abs(of_slices - found[1]) > 1  # a mean over slices is another number
