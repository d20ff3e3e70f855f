"""Conformal quantiles by counting, and the coverage that they promise on images that are exchangeable."""

import tomllib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.config import build, to_toml
from deqjax.domain import Conditions, domain_of
from deqjax.metrics import psnr
from deqjax.uncertainty import (
    Calibration,
    ErrorScale,
    Evidence,
    Example,
    calibrate,
    conformal_quantile,
    features,
    fit_scale,
    image_score,
    scores_of,
)

DOMAIN = domain_of("noise", [Conditions(4, 0.01, 0.1, 64, 64, 0.5, 1)])
SCALE = ErrorScale(constant=-1.0, resampling_1=0.5, magnitude_1=0.2)


@pytest.mark.parametrize(("number", "delta"), [(9, 0.1), (15, 0.1), (30, 0.1), (30, 0.25), (7, 0.5)])
def test_the_quantile_is_the_smallest_score_that_enough_scores_do_not_exceed(number, delta):
    scores = np.random.default_rng(number).permutation(np.arange(number) + 0.5)
    enough = [q for q in sorted(scores) if sum(scores <= q) >= (number + 1) * (1 - delta) - 1e-9]
    assert conformal_quantile(scores, delta) == enough[0]


def test_too_few_scores_give_no_bound():
    assert conformal_quantile(np.ones(8), 0.1) == np.inf
    assert conformal_quantile(np.ones(9), 0.1) == 1.0


def test_the_score_is_the_smallest_factor_that_leaves_few_pixels_outside():
    rng = np.random.default_rng(0)
    for alpha in (0.05, 0.1, 0.5):
        error, scale = rng.exponential(size=(2, 8, 9))
        score = image_score(error, scale, alpha)
        assert np.mean(error > score * scale) <= alpha
        assert np.mean(error > score * (1 - 1e-9) * scale) > alpha
    assert image_score([0.0, 0.0, 3.0], [0.0, 1.0, 1.0], 0.4) == 0.0
    assert image_score([1.0, 1.0], [0.0, 0.0], 0.1) == np.inf


def evidence_of(rng: np.random.Generator, count: int, shape: tuple[int, int] = (12, 12)) -> Evidence:
    """Images with random maps, whose level differs between images."""
    draw = lambda: jnp.asarray(rng.exponential(size=(count, 1, 1)) * rng.exponential(size=(count, *shape)), jnp.float32)
    image = draw() + 0j
    return Evidence(image, image, None, image + draw(), jnp.ones((count, 1, 1)), draw(), draw(), jnp.ones(count))  # type: ignore[arg-type]


def test_the_coverage_of_exchangeable_images():
    """Of 400 calibrations with 19 images and one new image each, 18 of 20 cover: the mean is 0.90 exactly."""
    rng = np.random.default_rng(1)
    error = rng.gamma(2.0, size=(400, 20, 1)) * rng.exponential(size=(400, 20, 40))
    covered = []
    for images in error:
        factor = conformal_quantile([image_score(e, np.ones(40), 0.1) for e in images[:-1]], 0.1)
        covered.append(np.mean(images[-1] > factor) <= 0.1)
    assert abs(np.mean(covered) - 0.9) < 3 * np.sqrt(0.09 / 400)


def examples_of(number: int) -> tuple[list[Example], Evidence]:
    rng = np.random.default_rng(2)
    evidence = evidence_of(rng, number)
    error = SCALE(evidence) * rng.exponential(size=evidence.image.shape) * rng.choice([-1, 1], evidence.image.shape)
    target = np.abs(np.asarray(evidence.image) + error)
    parts = [jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], evidence) for i in range(number)]
    return [Example(part, target[i]) for i, part in enumerate(parts)], evidence


def test_a_calibration_covers_its_own_images_and_is_read_back():
    examples, evidence = examples_of(30)
    made = calibrate("noise", examples, SCALE, DOMAIN, alpha=0.1, delta=0.1)
    low, high, _, at_least, _ = made.bounds(evidence)
    target = np.stack([example.target for example in examples])
    outside = ((target < low) | (target > high)).mean(axis=(1, 2))
    assert (outside <= 0.1 + 1e-9).sum() == 28  # ceil(31 * 0.9) of the 30 images
    true = [float(psnr(np.abs(np.asarray(example.evidence.image[0])), example.target)) for example in examples]
    assert (at_least <= np.asarray(true) + 1e-4).sum() == 28
    assert (low >= 0).all()
    assert build(Calibration, tomllib.loads(to_toml(made)), "calibration.toml") == made
    assert "90% of the pixels" in made.claim
    assert "exchangeable" in made.claim


def test_an_image_without_signal_has_no_nan():
    zero = jnp.zeros((1, 8, 8))
    evidence = Evidence(zero + 0j, zero + 0j, None, zero + 0j, zero[:, :1, :1], zero, zero, jnp.ones(1))  # type: ignore[arg-type]
    made = Calibration("noise", 0.1, 0.1, (1.0,) * 9, (1.0,) * 9, SCALE, DOMAIN)
    low, high, _, at_least, _ = made.bounds(evidence)
    assert not low.any()
    assert not high.any()
    assert at_least[0] == -np.inf


def test_the_scale_has_the_units_of_the_image():
    _, evidence = examples_of(2)
    larger = jax.tree.map(lambda leaf: 1e4 * leaf, evidence)
    np.testing.assert_allclose(SCALE(larger), 1e4 * SCALE(evidence), rtol=1e-4)


def test_the_fit_finds_the_scale_that_made_the_errors():
    _, evidence = examples_of(30)
    found = {name: np.broadcast_to(values, (30, 12, 12)).ravel() for name, values in features(evidence).items()}
    error = np.random.default_rng(3).exponential(SCALE(evidence)).ravel()
    fitted = fit_scale(found, error)
    assert abs(np.mean(np.log(fitted(evidence) / SCALE(evidence)))) < 0.03
    assert np.std(np.log(fitted(evidence) / SCALE(evidence))) < 0.1


def test_wrong_input_is_refused():
    examples, _ = examples_of(9)
    for scores, message in (([], "at least one image"), ([np.nan], "without NaN")):
        with pytest.raises(ValueError, match=message):
            conformal_quantile(scores, 0.1)
    for delta in (0.0, 1.0):
        with pytest.raises(ValueError, match="delta must be in"):
            conformal_quantile([1.0], delta)
    with pytest.raises(ValueError, match="shape"):
        image_score(np.ones(3), np.ones(4), 0.1)
    with pytest.raises(ValueError, match="at least 0"):
        image_score(-np.ones(3), np.ones(3), 0.1)
    with pytest.raises(ValueError, match="at least 9 images"):
        calibrate("noise", examples[:8], SCALE, DOMAIN, alpha=0.1, delta=0.1)
    with pytest.raises(ValueError, match="every feature"):
        fit_scale({}, np.ones(3))
    assert np.isfinite(scores_of(examples[0], SCALE, 0.1)).all()
