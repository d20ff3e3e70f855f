"""The domain of a model: the conditions are measured right, and held-out data are inside while hard cases are not."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deqjax as dj
from deqjax import model_folders
from deqjax.classical_methods import classical_method
from deqjax.data.fourier_numpy import fft2c, ifft2c
from deqjax.domain import Conditions, Domain, domain_of, measure_conditions
from deqjax.reconstruction import Method

VALIDATION = Path(__file__).parents[2] / "shared/data/val"


def conditions(kspace: np.ndarray, acceleration: float = 4, center: float = 0.08, noise: float = 0.0) -> Conditions:
    """Undersample k-space (y, x) as in training, and measure it."""
    rng, size = np.random.default_rng(0), kspace.shape
    magnitude = np.abs(ifft2c(kspace))
    level = noise * np.sqrt((magnitude**4).sum() / (magnitude**2).sum()) / np.sqrt(2)
    mask = np.ones((1, size[1]), np.float32)
    if acceleration > 1:
        mask = dj.masks.CartesianRandom(acceleration, center)(size, 0)
    measured = mask * (kspace + level * (rng.normal(size=size) + 1j * rng.normal(size=size)))
    return measure_conditions(measured[None], mask, ifft2c(measured)[None])


def phantom(size: int = 128, seed: int = 3) -> np.ndarray:
    return dj.data.phantom_volume(seed, (1, size, size)).kspace[0]


def test_the_noise_is_that_of_the_samples() -> None:
    rng = np.random.default_rng(0)
    kspace = 0.05 * (rng.normal(size=(128, 128)) + 1j * rng.normal(size=(128, 128))) / np.sqrt(2)
    kspace[64, 64] = 128  # an image of ones, whose scale is 1
    found = conditions(kspace, acceleration=1)
    assert found.noise == pytest.approx(0.05, rel=0.05)
    assert conditions(1e6 * kspace, acceleration=1).noise == pytest.approx(found.noise, rel=1e-3)


@pytest.mark.parametrize(("rows", "columns"), [(0, 1.5), (1.5, 0), (1.0, 1.0)])
def test_the_roughness_of_a_linear_phase_follows_its_slope(rows: float, columns: float) -> None:
    y, x = np.mgrid[:96, :96]
    window = np.hanning(96)[:, None] * np.hanning(96)
    image = window * np.exp(2j * np.pi * (rows * y + columns * x) / 96)
    slope = 2 * np.pi / 96 * np.sqrt((rows**2 + columns**2) / 2)  # the mean over neighbours along y and along x
    found = conditions(fft2c(image), acceleration=1).phase
    assert 0.75 * slope < found < slope  # the low resolution makes a steep slope a little flatter
    half = window * np.exp(1j * np.pi * (rows * y + columns * x) / 96)
    assert conditions(fft2c(half), acceleration=1).phase == pytest.approx(found / 2, rel=0.1)


def test_sizes_coils_and_acceleration() -> None:
    kspace = np.ones((2, 3, 16, 24), complex)
    mask = np.zeros((1, 24))
    mask[:, ::3] = 1
    found = measure_conditions(mask * kspace, mask, np.ones((2, 16, 24), complex))
    assert (found.rows, found.lines, found.coils, found.acceleration) == (16, 24, 3, 3)
    assert measure_conditions(kspace[:, 0], mask, np.ones((2, 16, 24), complex)).coils == 1
    with pytest.raises(ValueError, match="is zero"):
        measure_conditions(0 * kspace, mask, np.ones((2, 16, 24), complex))


def test_a_domain_spans_its_examples_and_further_conditions() -> None:
    examples = [Conditions(4 + i / 100, 0.01, 0.02, 64 + i, 128, 0.3, 1) for i in range(101)]
    domain = domain_of("tests", examples, [Conditions(2, 0.05, 0.01, 320, 128, 0.3, 8)])
    assert domain.acceleration == pytest.approx((2, 4.95))
    assert (domain.rows, domain.coils, domain.noise) == ((64, 320), (1, 8), (0, 0.05))
    assert domain.outside(Conditions(2, 0.05, 0.01, 320, 128, 0.3, 8)) == ()
    assert len(domain.outside(Conditions(20, 0.5, 0.5, 32, 512, 0.9, 64))) == 7
    with pytest.raises(ValueError, match="at least one example"):
        domain_of("tests", [])
    with pytest.raises(ValueError, match="the range of noise"):
        Domain("tests", (1, 2), (0.2, 0.1), (0, 1), (1, 2), (1, 2), (0, 1), (1, 1))


each_model = pytest.mark.parametrize("name", dj.models())


def domain(name: str) -> Domain:
    found = model_folders.load_domain(name)
    assert found is not None
    return found


@each_model
def test_phantoms_are_inside(name: str) -> None:
    """On these the models gain several decibels over the zero-filled image (`benchmarks/model_domains.py`)."""
    for size, seed, acceleration, center, noise in (
        (64, 3, 4, 0.12, 0),
        (128, 1, 4, 0.08, 0.03),
        (256, 3, 8, 0.04, 0.03),
    ):
        assert domain(name).outside(conditions(phantom(size, seed), acceleration, center, noise)) == ()


@each_model
@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("acceleration", lambda: conditions(phantom(256), 16, 0.02)),
        ("noise", lambda: conditions(phantom(), noise=0.3)),
        ("size", lambda: conditions(phantom(24), center=0.17)),
        ("phase", lambda: conditions(np.roll(phantom(), (4, 0), (0, 1)))),  # before the echo is moved to the middle
    ],
)
def test_conditions_in_which_the_models_gain_little_are_outside(name: str, word: str, found) -> None:
    assert word in " ".join(domain(name).outside(found()))


@each_model
@pytest.mark.skipif(not VALIDATION.exists(), reason="the real slices are not available")
def test_held_out_slices_are_inside(name: str) -> None:
    for path in sorted(VALIDATION.glob("siat_s4_*.h5")):
        for kspace in dj.data.open_scan(path, (3, 4)).kspace:
            for acceleration, center, noise in ((4, 0.08, 0.0), (8, 0.04, 0.03)):
                assert domain(name).outside(conditions(kspace, acceleration, center, noise)) == ()


def test_a_call_tells_for_each_image_whether_it_is_inside_the_domain() -> None:
    domain = Domain("phantoms", (1.5, 8), (0, 0.1), (0, 9), (96, 96), (96, 96), (0, 9), (1, 4))
    recon = classical_method("zero-filled").replace(domain=domain)
    mask = jnp.asarray(dj.masks.CartesianRandom(2, 0.2)((96, 96), seed=0))
    A = dj.physics.MaskedFourier(mask)
    clean = dj.data.phantom_volume(seed=1, shape=(1, 96, 96)).kspace[0].astype(np.complex64)
    noise = np.random.default_rng(0).normal(size=(96, 96)).astype(np.complex64)
    noisy = clean + 0.5 * np.abs(dj.physics.ifft2c(clean)).max() * noise
    batch = jnp.stack([clean, noisy, 0 * clean])
    stats = recon({}, A, batch)[1]
    assert np.asarray(stats.inside_domain).tolist() == [True, False, True]
    assert "1 OUTSIDE the domain" in str(stats)
    for kspace, inside in zip(batch, (True, False, True)):
        stats = recon({}, A, kspace)[1]
        assert np.asarray(stats.inside_domain).tolist() == inside
        assert ("OUTSIDE" in str(stats)) != inside
    coils = dj.physics.Sense(jnp.full((2, 96, 96), 0.5**0.5, jnp.complex64), mask)
    of_coils = recon({}, coils, jnp.stack([batch, batch], 1))[1].inside_domain
    assert np.asarray(of_coils).tolist() == [True, False, True]
    closed_over = jax.jit(lambda scale: scale * recon({}, A, noisy)[0].real)(2.0)
    assert closed_over.shape == (96, 96)
    assert jax.jit(lambda kspace: recon({}, A, kspace)[1])(clean).inside_domain is None
    assert recon.replace(domain=None)({}, A, noisy)[1].inside_domain is None


def test_a_loaded_model_has_its_domain_and_a_reconstruction_reports_it() -> None:
    recon, _ = dj.load("brain-small")
    assert recon.domain == model_folders.load_domain("brain-small") is not None
    method = Method("brain-small", classical_method("zero-filled").replace(domain=recon.domain), {})
    kspace = dj.data.phantom_volume(seed=1, shape=(2, 96, 96)).kspace
    masked = dj.masks.CartesianRandom(16, 0.02)((96, 96), seed=0) * kspace[:, None]
    with pytest.warns(dj.data.ScanWarning, match="outside the domain of brain-small"):
        result = dj.reconstruct_kspace(masked, smaps=None, model=method)
    assert result.outside
    assert np.asarray(result.stats.inside_domain).tolist() == [False, False]
