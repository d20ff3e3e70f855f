"""Learning without targets: nothing unmeasured matters, and the losses and their gradients are those of the theory.

The method is linear, ``R(y) = c A^H y``, solved as the fixed point of ``x -> (x + c A^H y) / 2``, so that every value
and every gradient has a closed form.
"""

import dataclasses
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deqjax as dj
from deqjax.data import Acquisitions, Augment, MeasuredBatch, Slices, phantom_volume, write_npz, write_volume
from deqjax.masks import density
from deqjax.objectives import (
    R2R,
    SURE,
    Acquisition,
    Combination,
    EquivariantImaging,
    MultiOperatorImaging,
    Pair,
    Problem,
    Split,
    Supervised,
    Term,
    estimate_error,
    noisier_image,
)
from deqjax.objectives.equivariant import rotate
from deqjax.objectives.split import subset_weight
from deqjax.physics import MaskedFourier, fft2c, ifft2c
from deqjax.training import create_state, make_optimizer, make_train_step, replicate
from deqjax.types import MeasuredObjective, Sampler

ROOT = Path(__file__).parents[2]
MASK = dj.masks.CartesianRandom(2, 0.25)
EVERY = dj.masks.CartesianEquispaced(1, 0.25)


@dataclass(frozen=True)
class Scaled:
    """``f(x) = (x + c z) / 2`` with the zero-filled image z: the fixed point is c z. With ``mix``, z is multiplied by a
    wave along x first, which spreads every line of k-space to its neighbours."""

    mix: float = 0.0

    def init(self, key):
        return {"c": jnp.full((), 0.7)}

    def start(self, args):
        return args.zero_filled

    def __call__(self, image, args):
        x = jnp.arange(image.shape[-1]) / image.shape[-1]
        return (image + args.params["c"] * args.zero_filled * (1 + self.mix * jnp.cos(2 * jnp.pi * x))) / 2

    def image(self, state):
        return state


ADJOINT = dj.Implicit(dj.solvers.Anderson(rtol=1e-6), nan_above=np.inf)
RECON = dj.Reconstructor(Scaled(), dj.solvers.Anderson(max_steps=20, rtol=1e-6), ADJOINT)
MIXING = RECON.replace(map=Scaled(mix=0.5))
PARAMS = {"map": {"c": jnp.full((), 0.7)}}


def problem_of(mask=MASK, recon=RECON):
    return Problem(recon, dj.losses.MSE(), Acquisition(center_fraction=0.25, pattern=mask))


def batch_of(count=2, shape=(16, 16), coils=1, sigma=0.0, mask=MASK, second=MASK, seed=0):
    rng = np.random.default_rng(seed)
    full = np.stack([phantom_volume(i, (1, *shape), coils).kspace[0] for i in range(min(count, 4))])
    full = full[np.arange(count) % len(full)]
    noisy = lambda: full + sigma / 2**0.5 * (rng.normal(size=full.shape) + 1j * rng.normal(size=full.shape))
    patterns = [np.stack([kind(shape, (which, i)) for i in range(count)]) for which, kind in enumerate((mask, second))]
    kspaces = [(noisy() * (p[:, None] if coils > 1 else p)).astype(np.complex64) for p in patterns]
    return MeasuredBatch(
        kspaces[0],
        patterns[0],
        np.full(count, sigma, np.float32),
        np.arange(count, dtype=np.int32),
        (kspaces[1], patterns[1]),
        full,
    )


def keys_of(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def value_and_gradient(objective, batch, params=PARAMS, problem=None, seed=0):
    count = len(batch.mask)
    function = objective.bind(problem or problem_of())
    differentiate = jax.jit(jax.value_and_grad(function, has_aux=True))
    (value, _), slope = differentiate(params, {}, batch, keys_of(count, seed), dj.implicit.backward_probe(count))
    return value, slope["map"]["c"]


OBJECTIVES: dict[str, MeasuredObjective] = {
    "split": Split(),
    "split of points": Split(points=True, keep=4, splits=2),
    "robust": Split(held_out=(0.4, 0.4), loss="weighted_l2", noisier=0.75),
    "pair": Pair(),
    "R2R": R2R(weighted=True),
    "SURE": SURE(weighted=True),
    "MOI": MultiOperatorImaging(data=Split(loss="l2")),
    "EI": EquivariantImaging(data=R2R()),
    "sum": Combination((Term(Split()), Term(Pair(), 0.5))),
}


DEAR = ("split", "split of points", "robust", "R2R", "MOI", "EI", "sum")
"""Each of these compiles for seconds, and has a neighbour that is like it."""


@pytest.mark.parametrize("coils", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in DEAR else []) for name in OBJECTIVES]
)
def test_nothing_that_was_not_measured_matters(name, coils):
    batch, objective = batch_of(coils=coils, sigma=0.05), OBJECTIVES[name].bind(problem_of(recon=MIXING))
    function = jax.jit(jax.value_and_grad(objective, has_aux=True))

    def broken(kspace, mask):
        return np.where((mask[:, None] if coils > 1 else mask) > 0, kspace, np.nan)

    other = MeasuredBatch(
        broken(batch.kspace, batch.mask),
        batch.mask,
        batch.sigma,
        batch.number,
        (broken(*batch.second), batch.second[1]),
        np.full_like(batch.full, np.nan),
    )
    found = [function(PARAMS, {}, one, keys_of(2), dj.implicit.backward_probe(2)) for one in (batch, other)]
    for (value, _), slope in found:
        assert np.isfinite(value)
        assert np.isfinite(slope["map"]["c"])
        assert abs(slope["map"]["c"]) > 1e-3
    jax.tree.map(np.testing.assert_array_equal, *found)


def test_a_pair_without_undersampling_and_noise_is_supervision():
    batch, problem = batch_of(second=EVERY), problem_of(EVERY)
    expected = value_and_gradient(Supervised(), batch, problem=problem)
    found = value_and_gradient(Pair(both_orders=False, loss="l2"), batch, problem=problem)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["pair", "split"])
def test_the_weights_are_unbiased_over_the_masks(name):
    """Over 4,000 masks, the mean of the weighted gradient of ``R = c M_1`` is that on every line, measured or not.

    For a split, R has the gradient 0 on the lines that are not in the input, so that the energy is compared there.
    """
    count, c = 4000, 0.7
    batch, problem = batch_of(count, (8, 16)), problem_of()
    sampler: Sampler = Split(held_out=(0.4, 0.4), keep=4, loss="weighted_l2")
    if name == "pair":  # one input for all, and many second masks
        kspace, mask, full = (np.broadcast_to(a[:1], a.shape) for a in (batch.kspace, batch.mask, batch.full))
        second = (full * batch.second[1], batch.second[1])
        batch, sampler = MeasuredBatch(kspace, mask, batch.sigma, batch.number, second, full), Pair(both_orders=False)
    sample = sampler.sample(problem, jax.tree.map(jnp.asarray, batch), keys_of(count))
    residual = c * np.asarray(sample.kspace) - batch.full
    if name == "pair":
        values, wanted = 2 * np.real(np.conj(sample.kspace) * residual), np.ones(1)
    else:
        values, wanted = np.abs(residual) ** 2, 1 - np.asarray(sample.mask)
    found, expected = (np.sum(weight * values, (1, 2)) for weight in (np.asarray(sample.weight), wanted))
    difference = found - expected
    assert difference.std() > 0
    assert abs(difference.mean()) < 3 * difference.std() / count**0.5
    unweighted = np.sum((np.asarray(sample.weight) > 0) * values, (1, 2)) - expected
    assert abs(unweighted.mean()) > 10 * unweighted.std() / count**0.5


def test_sure_and_r2r_average_to_the_true_error():
    sigma, c, count = 0.3, 0.7, 8
    batch = batch_of(count, (128, 128), sigma=sigma, mask=EVERY)
    error = np.mean(np.abs(c * batch.kspace - batch.full) ** 2)
    A = MaskedFourier(jnp.ones((count, 1, 128)))
    measured = jnp.asarray(batch.kspace), jnp.asarray(batch.sigma)
    estimate = estimate_error(RECON, PARAMS, A, *measured, jnp.ones((count, 1, 128)), keys_of(count))
    assert float(estimate.mean()) == pytest.approx(error, rel=0.01)

    a, total = 0.4, []
    sampler = R2R(fraction=a)
    for seed in range(4):
        noise = batch_of(count, (128, 128), sigma=sigma, mask=EVERY, seed=seed)
        sample = sampler.sample(problem_of(), jax.tree.map(jnp.asarray, noise), keys_of(count, seed))
        loss = np.mean(np.abs(c * sample.kspace - sample.target) ** 2) - sigma**2 / a
        total.append((loss, np.mean(np.abs(c * sample.kspace - noise.full) ** 2)))
    loss, error = np.mean(total, axis=0)
    assert loss == pytest.approx(error, rel=0.01)


@pytest.mark.slow
def test_the_gradient_of_sure_goes_through_the_derivative_of_the_fixed_point():
    batch = batch_of(sigma=0.3, mask=EVERY)
    value, slope = value_and_gradient(SURE(), batch, problem=problem_of(EVERY))
    c, size = 0.7, 256
    scale = np.asarray(dj.EnergyScale()(ifft2c(jnp.asarray(batch.kspace))).scale)
    energy, variance = np.sum(np.abs(batch.kspace / scale) ** 2, (1, 2)) / size, (0.3 / scale[:, 0, 0]) ** 2
    probes = jax.vmap(lambda key: jax.random.normal(key, (16, 16), jnp.complex64))(
        jax.vmap(lambda key: jax.random.fold_in(key, 2))(keys_of(2))
    )
    drawn = np.sum(np.abs(probes) ** 2, (1, 2)) / size
    np.testing.assert_allclose(value, np.mean((c - 1) ** 2 * energy + variance * (2 * c * drawn - 1)), rtol=1e-4)
    np.testing.assert_allclose(slope, np.mean(2 * (c - 1) * energy + 2 * variance * drawn), rtol=1e-4)


@pytest.mark.slow
def test_imaging_with_other_operators_has_exact_gradients_through_both_solves():
    batch = batch_of(count=1)
    moi = lambda params, weight: MultiOperatorImaging(weight=weight, noise=False).bind(problem_of())(
        params, {}, batch, keys_of(1), dj.implicit.backward_probe(1)
    )[0]
    value, slope = jax.jit(jax.value_and_grad(lambda c: moi({"map": {"c": c}}, 2.0) - moi({"map": {"c": c}}, 0.0)))(0.7)
    # x3 - x1 = c (c Q - 1) z with a projection Q onto the lines of another mask: a polynomial in c
    coefficient = lambda c: c**2 * np.array([c**2 - 2 * c, 1.0])
    scale = dj.EnergyScale()(ifft2c(jnp.asarray(batch.kspace))).scale
    energy = np.mean(np.abs(batch.kspace / scale) ** 2)
    inside = (value / 2 - coefficient(0.7)[1] * energy) / coefficient(0.7)[0]  # mean |Q z|^2, between 0 and all of it
    assert 0.2 * energy < inside < 0.9999 * energy
    at = lambda c: 2 * float(coefficient(c) @ np.array([inside, energy]))
    np.testing.assert_allclose(slope, (at(0.701) - at(0.699)) / 0.002, rtol=1e-3)


def test_rotations():
    image = np.random.default_rng(0).normal(size=(9, 9)).astype(np.float32)
    np.testing.assert_allclose(
        np.asarray(rotate(jnp.asarray(image), jnp.asarray(np.pi / 2))), np.rot90(image, -1), atol=1e-5
    )
    np.testing.assert_array_equal(rotate(jnp.asarray(image), jnp.zeros(())), image)


@pytest.mark.slow
def test_a_sum_is_the_weighted_sum_of_its_terms():
    batch, keys = batch_of(), keys_of(2)
    terms = (Term(Split(), 2.0), Term(Pair(), 0.5))
    total, metrics = Combination(terms).bind(problem_of())(PARAMS, {}, batch, keys, None)
    expected: float | jax.Array = 0.0
    for number, term in enumerate(terms):
        own = jax.vmap(lambda key, number=number: jax.random.fold_in(key, number))(keys)
        expected += term.weight * term.objective.bind(problem_of())(PARAMS, {}, batch, own, None)[0]
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    assert metrics.keys() >= {"term_1", "term_2", "forward_steps"}


def test_splits_divide_the_measured_samples():
    batch, problem = jax.tree.map(jnp.asarray, batch_of(64, (8, 64))), problem_of()
    for split in (Split(held_out=(0.4, 0.4)), Split(held_out=(0.4, 0.4), points=True)):
        sample = split.sample(problem, batch, keys_of(64))
        held = np.asarray(sample.weight)
        np.testing.assert_array_equal(sample.mask + held, np.broadcast_to(batch.mask, held.shape))
        assert not held[..., 4:5, 28:36].any() if split.points else not held[..., 28:36].any()
        outside = np.broadcast_to(batch.mask, held.shape).sum() - 64 * 8 * (8 if split.points else 1)
        assert held.sum() / outside == pytest.approx(0.4, abs=0.05)
        np.testing.assert_array_equal(sample.kspace, sample.mask * batch.kspace)
    fixed = Split(splits=3)
    drawn = {np.asarray(fixed.sample(problem, batch, keys_of(64, seed)).mask[5]).tobytes() for seed in range(20)}
    assert len(drawn) == 3


def test_the_weights_of_a_split_and_of_a_density():
    P, kept = np.array([0.2, 0.5, 1.0, 1.0]), np.array([0.6, 0.6, 0.6, 1.0])
    K = (1 - P) / np.maximum(1 - kept * P, 1e-9)
    np.testing.assert_allclose(subset_weight(P, kept)[:3], 1 / (1 - K[:3]), rtol=1e-5)
    assert subset_weight(P, kept)[3] == 0
    found = density(dj.masks.CartesianRandom(4, 0.08), (320, 320))
    assert density(dj.masks.CartesianRandom(4, 0.08), (8, 320)) is not found
    assert density(dj.masks.CartesianRandom(4, 0.08), (2, 320, 320)) is found, "kept by value"
    assert found.max() == 1
    assert found.mean() == pytest.approx(0.25, abs=0.005)


def test_the_correction_of_noisier_data_takes_the_noise_off():
    """For R = cI on the samples, with the c that predicts y from the noisier y', the corrected k-space is unbiased."""
    sigma, noisier = 0.5, 0.75
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(2, 64, 64)) + 1j * rng.normal(size=(2, 64, 64))
    noise = sigma / 2**0.5 * (rng.normal(size=truth.shape) + 1j * rng.normal(size=truth.shape))
    A, kspace = MaskedFourier(jnp.ones((2, 1, 64))), jnp.asarray(truth + noise, jnp.complex64)
    c = (2 + sigma**2) / (2 + sigma**2 * (1 + noisier**2))  # E[y | y'] for a truth of variance 2
    image, stats = noisier_image(
        RECON, {"map": {"c": jnp.asarray(c)}}, A, kspace, jnp.full(2, sigma), noisier, keys_of(2)
    )
    found = np.asarray(fft2c(image))
    assert stats.converged.all()
    slope = np.vdot(truth, found).real / np.vdot(truth, truth).real
    assert slope == pytest.approx(2 / (2 + sigma**2 * (1 + noisier**2)), rel=0.02)  # E[truth | y'], Wiener's factor


def test_training_sees_nothing_of_the_truth_that_was_not_measured(tmp_path):
    """The parameters are bit-identical if the truth outside the sampled lines is another, or is not in the file."""
    kspace = phantom_volume(0, (3, 16, 16)).kspace
    source = lambda name, kspace: Acquisitions(Slices([write_volume(tmp_path / name / "a.h5", kspace)]), MASK)
    true = source("truth", kspace)
    masks = np.stack([true.acquire(i)[1] for i in range(3)])
    rng = np.random.default_rng(0)
    noise = (rng.normal(size=kspace.shape) + 1j * rng.normal(size=kspace.shape)).astype(np.complex64)
    changed = np.where(masks > 0, kspace, 100 * noise)
    alone = [write_npz(tmp_path / f"{i}.npz", (masks[i] * kspace[i])[None], mask=masks[i]) for i in range(3)]
    optimizer = make_optimizer(steps=3, learning_rate=1e-2, final_learning_rate=1e-3)
    step = make_train_step(Split().bind(problem_of(recon=MIXING)), optimizer, ema=0.5)
    found = []
    for acquisitions in (true, source("other", changed), Acquisitions(Slices(alone), MASK, (0.3, 0.3))):
        state = replicate(create_state(PARAMS, {}, optimizer, bounded=False))
        for number in range(3):
            batch = acquisitions.batch(2, Augment(crop=(12, 16), flips="y"), 0, number)
            state, _ = step(state, dataclasses.replace(batch, sigma=np.zeros(2, np.float32)))
        found.append(float(state.params["method"]["map"]["c"]))
    assert found[0] == found[1] == found[2]
    assert abs(found[0] - 0.7) > 0.01


@pytest.mark.slow
def test_a_step_on_four_devices_is_the_step_on_one(tmp_path):
    script = """
import jax, numpy as np
from tests.objectives.test_without_targets import MIXING, PARAMS, Pair, Split, batch_of, problem_of
from deqjax.training import create_state, make_optimizer, make_train_step, replicate
optimizer = make_optimizer(steps=2, learning_rate=1e-2, final_learning_rate=1e-3)
batch = batch_of(4, sigma=0.1)
for objective in (Split(), Pair()):
    found = []
    for devices in (1, 4):
        step = make_train_step(objective.bind(problem_of(recon=MIXING)), optimizer, devices=devices)
        state = replicate(create_state(PARAMS, {}, optimizer, bounded=False), devices)
        for _ in range(2):
            state, metrics = step(state, batch)
        found.append((float(state.params["method"]["map"]["c"]), float(metrics["loss"])))
    np.testing.assert_allclose(*found, rtol=2e-6)
"""
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(held_out=(0.0, 0.5)), "held_out must be a range"),
        (dict(loss="weighted_l2"), "needs one fraction"),
        (dict(noisier=0.5), "noisier needs loss"),
        (dict(keep=0), "keep >= 1"),
    ],
)
def test_settings_of_a_split_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        Split(**settings)


def test_what_is_missing_is_named():
    batch = batch_of()
    alone = MeasuredBatch(batch.kspace, batch.mask, batch.sigma, batch.number)
    run = lambda objective, problem: objective.bind(problem)(PARAMS, {}, alone, keys_of(2), None)
    with pytest.raises(ValueError, match="needs a second acquisition"):
        run(Pair(), problem_of())
    with pytest.raises(ValueError, match="needs targets"):
        run(Supervised(), problem_of())
    without = problem_of(mask=None)
    with pytest.raises(ValueError, match=r"Acquisition\(pattern=...\)"):
        run(SURE(weighted=True), without)
    with pytest.raises(ValueError, match=r"Acquisition\(pattern=...\)"):
        MultiOperatorImaging().bind(without)
    with pytest.raises(ValueError, match="fraction must lie"):
        R2R(fraction=1.0)
    with pytest.raises(ValueError, match="at least one term"):
        Combination(())
