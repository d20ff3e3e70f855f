"""ESPIRiT: agreement with the true coil sensitivities and with sigpy, and input that it rejects."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.data import birdcage_maps, phantom_image, read_volume
from deqjax.physics import CalibrationWarning, espirit, fft2c, ifft2c, rss

SHAPE, COILS = (49, 60), 5


@pytest.fixture(scope="module")
def coil_images() -> tuple[np.ndarray, np.ndarray]:
    """The true coil sensitivities (coil, y, x), and the coil images."""
    smaps = birdcage_maps(COILS, SHAPE)
    image = phantom_image(0, (1, *SHAPE))[0]
    return smaps, (smaps * image).astype(np.complex64)


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The magnitude of the normalised inner product over the coils, where both are nonzero."""
    both = (np.abs(a).sum(axis=-3) > 0) & (np.abs(b).sum(axis=-3) > 0)
    sizes = np.linalg.norm(a, axis=-3) * np.linalg.norm(b, axis=-3)
    return np.abs((np.conj(a) * b).sum(axis=-3))[both] / sizes[both]


def test_espirit_finds_the_true_sensitivities(coil_images) -> None:
    smaps, images = coil_images
    found = np.asarray(espirit(fft2c(jnp.asarray(images)), 0.4, crop=0.9))
    inside_object = np.abs(images).sum(axis=0) > 0.2 * np.abs(images).sum(axis=0).max()
    support = rss(jnp.asarray(found)) > 0
    assert support[inside_object].mean() > 0.98
    np.testing.assert_allclose(rss(jnp.asarray(found))[support], 1, atol=1e-5)
    assert np.quantile(correlation(found * inside_object, smaps), 0.05) > 0.995


def test_espirit_equals_sigpy(coil_images) -> None:
    mri = pytest.importorskip("sigpy.mri")
    kspace = np.asarray(fft2c(jnp.asarray(coil_images[1][:, :48, :48])))  # its calibration region is a square
    kspace = kspace / np.abs(kspace).max()
    settings = {"calib_width": 20, "thresh": 0.02, "kernel_width": 6, "crop": 0.9, "max_iter": 600}
    theirs = mri.app.EspiritCalib(kspace, show_pbar=False, **settings).run()
    found = correlation(np.asarray(espirit(jnp.asarray(kspace), 20 / 48, crop=0.9)), theirs)
    assert found.size > 500
    assert found.mean() > 0.9999
    assert np.quantile(found, 0.01) > 0.999


@pytest.mark.slow
def test_a_batch_equals_its_images_and_the_units_do_not_matter(coil_images) -> None:
    kspace = fft2c(jnp.asarray(coil_images[1]))
    other = kspace[::-1] * (1 + 1j)
    batch = espirit(jnp.stack([kspace, other]), 0.4)
    for one, maps in zip((kspace, other), batch):
        np.testing.assert_allclose(espirit(1e-7 * one, 0.4), maps, atol=2e-3)


@pytest.mark.slow
def test_the_soft_crop_has_intermediate_values(coil_images) -> None:
    kspace = fft2c(jnp.asarray(coil_images[1]))
    sizes = rss(espirit(kspace, 0.4, crop=0.8, soft=True))
    assert float(jnp.mean((sizes > 0.05) & (sizes < 0.95))) > 0.02
    hard = rss(espirit(kspace, 0.4, crop=0.8)) > 0
    assert float(sizes[hard].min()) >= 0.499


def test_zero_kspace_gives_zero_sensitivities() -> None:
    np.testing.assert_array_equal(espirit(jnp.zeros((3, 32, 32), jnp.complex64), 0.5), 0)


def test_too_few_calibration_lines_raise() -> None:
    with pytest.raises(ValueError, match=r"0.08 of 64 leaves 5 calibration lines along x; .* at least 8"):
        espirit(jnp.ones((3, 128, 64), jnp.complex64), 0.08)
    with pytest.raises(ValueError, match=r"needs the axes \(..., coil, y, x\); it has shape \(64, 64\)"):
        espirit(jnp.ones((64, 64), jnp.complex64))
    with pytest.raises(ValueError, match=r"leaves 5 .* patches of 6 needs at least 7"):
        espirit(jnp.ones((3, 128, 64), jnp.complex64), 0.08, kernel=6)


def phantom_scan(size: int, coils: int, noise: float = 0.0) -> tuple[jax.Array, np.ndarray, np.ndarray]:
    """K-space (coil, y, x), the true coil sensitivities, and the object: above a tenth of the maximum."""
    image, smaps = phantom_image(0, (1, size, size))[0], birdcage_maps(coils, (size, size))
    rng = np.random.default_rng(0)
    kspace = fft2c(jnp.asarray(smaps * image)) + noise * (rng.normal(size=(coils, size, size, 2)) @ [1, 1j])
    return kspace.astype(jnp.complex64), smaps, np.abs(image) > 0.1 * np.abs(image).max()


def lines_mask(size: int, lines: int) -> np.ndarray:
    mask = np.zeros((1, size), np.float32)
    start = (size - lines + 1) // 2
    mask[:, start : start + lines] = 1
    mask[:, ::4] = 1
    return mask


def check_maps(found: jax.Array, smaps: np.ndarray, is_object: np.ndarray, angle: float) -> None:
    """The maps are at most 1, cover the object, and make a small angle with the true ones."""
    sizes = np.asarray(rss(found))
    assert np.isfinite(sizes).all()
    assert sizes.max() <= 1 + 1e-5
    assert (sizes > 0.99)[is_object].mean() >= 0.95
    cosine = np.abs(np.sum(np.conj(np.asarray(found)) * smaps, axis=-3))[is_object & (sizes > 0)]
    assert np.median(np.sqrt(1 - np.minimum(cosine, 1) ** 2)) < angle


@pytest.mark.parametrize(
    ("size", "coils", "lines"),
    [
        (96, 4, 8),
        *(
            pytest.param(size, coils, lines, marks=pytest.mark.slow)
            for size, coils, lines in [
                (64, 2, 10), (65, 3, 9), (96, 16, 8), (97, 7, 12), (128, 8, 10), (128, 16, 24), (128, 32, 8),
                (160, 4, 32), (255, 2, 20), (256, 8, 16), (320, 2, 26), (320, 4, 12),
            ]
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("noise", [0.0, pytest.param(0.02, marks=pytest.mark.slow)])
def test_maps_cover_the_object_for_few_and_many_lines(size: int, coils: int, lines: int, noise: float) -> None:
    kspace, smaps, is_object = phantom_scan(size, coils, noise)
    mask = lines_mask(size, lines)
    check_maps(espirit(kspace * mask, mask=mask), smaps, is_object, 0.05)


def test_the_default_settings_of_128_pixels() -> None:
    kspace, smaps, is_object = phantom_scan(128, 4)
    check_maps(espirit(kspace), smaps, is_object, 0.03)


def test_maps_do_not_depend_on_the_units() -> None:
    kspace, *_ = phantom_scan(96, 4)
    reference = np.asarray(espirit(kspace))
    for exponent in (-100, -40, 40, 100):  # about 1e-30 to 1e30
        np.testing.assert_array_equal(espirit(kspace * jnp.float32(2.0**exponent)), reference)
    batch = espirit(jnp.stack([kspace * 1e-30, kspace * 0, kspace * 1e30]))
    np.testing.assert_allclose(np.abs(batch[::2]), np.abs(reference)[None].repeat(2, 0), atol=1e-3)
    assert not batch[1].any()


@pytest.mark.filterwarnings("ignore::deqjax.physics.CalibrationWarning")
@pytest.mark.parametrize("radius", [0.2, 0.8, 1.5])
@pytest.mark.parametrize(("noise", "gain"), [(0.0, 1.0), (1e-4, 1.0), (0.0, 1e-30), (0.1, 1e30)])
def test_eigenvectors_have_the_length_1_everywhere(radius: float, noise: float, gain: float) -> None:
    """The default crop hides those outside the object, where all eigenvalues are small; a crop of 0 shows them."""
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    coils = np.stack([np.exp(-((x - a) ** 2) - (y - b) ** 2 + 1j * a * y) for a, b in ((-1, 0), (1, 0), (0, 1))])
    rng = np.random.default_rng(0)
    images = coils * (x**2 + y**2 < radius**2) + noise * (rng.normal(size=(3, 32, 32, 2)) @ [1, 1j])
    maps = espirit(jnp.float32(gain) * fft2c(jnp.asarray(images, jnp.complex64)), 0.5, crop=0.0)
    np.testing.assert_allclose(rss(maps), 1, atol=1e-4)


@pytest.mark.slow
def test_patches_too_large_for_the_lines_raise_with_the_number_of_lines_that_is_needed() -> None:
    kspace, *_ = phantom_scan(128, 4)
    with pytest.raises(ValueError, match=r"cover .*% of the object: 10 x 10 .* 6 x 6 .* at least 14 lines"):
        espirit(kspace, kernel=6)
    with pytest.raises(ValueError, match=r"% of the object of image 1: .* set crop to at most 0\.99"):
        espirit(jnp.stack([0 * kspace, kspace]), 0.2, crop=0.9999)
    assert espirit(kspace, kernel=6, crop=0.0).all()
    traced = jax.jit(lambda kspace: espirit(kspace, kernel=6))(kspace)  # nothing raises under jit
    assert float(rss(traced).max()) <= 1 + 1e-5


def test_lines_that_were_not_sampled_are_noticed() -> None:
    kspace, smaps, is_object = phantom_scan(96, 4)
    mask = lines_mask(96, 10)
    with pytest.warns(CalibrationWarning, match=r"0.25 of .*\(96, 96\) .* 24 x 24 lines, but .* only in 24 x 10"):
        found = espirit(kspace * mask, 0.25)
    check_maps(found, smaps, is_object, 0.03)
    np.testing.assert_allclose(found, espirit(kspace * mask, 0.25, mask=mask), atol=1e-6)
    with pytest.raises(ValueError, match=r"the mask of 96 leaves 7 calibration lines along x; .* at least 8"):
        espirit(kspace, mask=lines_mask(96, 6))  # the line beside the calibration lines is sampled too
    with pytest.warns(CalibrationWarning), pytest.raises(ValueError, match="7 calibration lines along x"):
        espirit(kspace * lines_mask(96, 6), 0.25)


@pytest.mark.slow
def test_noise_above_the_threshold_warns() -> None:
    noise = np.random.default_rng(0).normal(size=(2, 64, 64, 2)) @ [1, 1j]
    with pytest.warns(CalibrationWarning, match="span the entire space"):
        espirit(jnp.asarray(noise, jnp.complex64), 0.4)


MEASURED = sorted((Path(__file__).parents[2] / "shared" / "data").glob("*/mc_*.h5"))


@pytest.mark.slow
@pytest.mark.skipif(not MEASURED, reason="the measured files are not here")
@pytest.mark.parametrize("file", MEASURED, ids=lambda file: file.stem)
@pytest.mark.parametrize("lines", [8, 12, 24, None])
def test_maps_of_measured_heads(file: Path, lines: int | None) -> None:
    kspace = read_volume(file, (0, 0)).kspace[0]
    images = np.asarray(ifft2c(jnp.asarray(kspace)))
    combined = np.linalg.norm(images, axis=0)
    mask = None if lines is None else lines_mask(kspace.shape[-1], lines)
    found = espirit(jnp.asarray(kspace if mask is None else kspace * mask), mask=mask)
    check_maps(found, images / np.maximum(combined, 1e-30), combined > 0.1 * combined.max(), 0.12)
