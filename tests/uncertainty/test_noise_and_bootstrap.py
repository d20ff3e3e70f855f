"""The noise map against the covariance of a linear reconstruction, written out with dense matrices."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deqjax as dj
from deqjax.reconstruct import equilibrium
from deqjax.uncertainty import bootstrap_deviation, gather, noise_deviation
from deqjax.uncertainty.bootstrap import kept_samples
from deqjax.uncertainty.noise import linear_response

SHAPE, COILS, SIGMA, PENALTY = (6, 7), 3, 0.3, 0.5
RNG = np.random.default_rng(0)
MASK = np.array([1, 0, 1, 1, 1, 0, 1], np.float32)
IMAGE = (RNG.normal(size=SHAPE) + 1j * RNG.normal(size=SHAPE)).astype(np.complex64)
MAPS = RNG.normal(size=(COILS, *SHAPE)) + 1j * RNG.normal(size=(COILS, *SHAPE))
MAPS = (MAPS / np.sqrt((np.abs(MAPS) ** 2).sum(axis=0))).astype(np.complex64)


@dataclass(frozen=True)
class Weights:
    """A linear denoiser: real weights, one for each pixel."""

    seed: int

    def init(self, key: jax.Array, image: jax.Array) -> dict[str, Any]:
        return {"params": {"weights": jnp.asarray(self.values, jnp.float32)}}

    def apply(self, params: Any, image: jax.Array) -> jax.Array:
        return params["params"]["weights"] * image

    @property
    def values(self) -> np.ndarray:
        return np.random.default_rng(self.seed).uniform(-0.5, 0.9, SHAPE)


def method(normalisation: Any) -> tuple[dj.Reconstructor, Any]:
    solver = dj.solvers.Anderson(rtol=1e-5, max_steps=60)
    finish = dj.maps.HalfQuadratic(Weights(1), penalty=0.3, cg_steps=12)
    half_quadratic = dj.maps.HalfQuadratic(Weights(0), penalty=PENALTY, cg_steps=12)
    recon = dj.Reconstructor(half_quadratic, solver, normalisation=normalisation, start=Weights(2), finish=finish)
    return recon, recon.init(jax.random.key(0))


def forward_model(coils: int) -> Any:
    return (
        dj.physics.Sense(jnp.asarray(MAPS), jnp.asarray(MASK))
        if coils > 1
        else dj.physics.MaskedFourier(jnp.asarray(MASK))
    )


def dense_response(coils: int) -> np.ndarray:
    """The matrix from k-space to the image, from the definition of the centred Fourier transform."""
    y, x = SHAPE

    def transform(size: int) -> np.ndarray:
        place = np.arange(size) - size // 2
        return np.exp(-2j * np.pi * np.outer(place, place) / size) / np.sqrt(size)

    fourier = np.kron(transform(y), transform(x))
    sampled = np.tile(MASK, y)[:, None] * fourier
    maps = MAPS.reshape(COILS, -1).astype(complex) if coils > 1 else np.ones((1, x * y))
    A = np.concatenate([sampled * row for row in maps])
    normal, D, finish = A.conj().T @ A, np.diag(Weights(0).values.ravel()), np.diag(Weights(1).values.ravel())
    unit = np.eye(x * y)
    fixed = np.linalg.solve(normal + PENALTY * (unit - D), A.conj().T)
    return np.linalg.solve(normal + 0.3 * unit, A.conj().T + 0.3 * finish @ fixed)


@pytest.mark.parametrize(
    ("coils", "normalisation"),
    [
        pytest.param(1, dj.SmoothPhase(1.0), id="one coil"),
        pytest.param(COILS, dj.EnergyScale(), id="coils", marks=pytest.mark.slow),
    ],
)
def test_the_noise_map_of_a_linear_method_is_the_diagonal_of_its_covariance(coils, normalisation):
    """Scale and phase of the units cancel in a linear method with real weights, and the start has no effect."""
    recon, params = method(normalisation)
    A = forward_model(coils)
    kspace = A.forward(jnp.asarray(IMAGE))
    R = dense_response(coils)
    np.testing.assert_allclose(recon(params, A, kspace)[0].ravel(), R @ np.asarray(kspace).ravel(), atol=2e-3)
    expected = SIGMA * np.sqrt((np.abs(R) ** 2).sum(axis=1)).reshape(SHAPE)
    found = noise_deviation(recon, params, A, kspace, SIGMA, jax.random.key(1), probes=1000)
    assert found.shape == SHAPE
    np.testing.assert_allclose(found, expected, rtol=0.08)
    np.testing.assert_allclose(np.mean(found / expected), 1, atol=0.008)


@pytest.mark.slow
def test_one_response_is_the_derivative_of_the_image():
    """The derivative along one direction, where the map, the units and the finish are not linear, by differences."""
    half_quadratic = dj.maps.HalfQuadratic(dj.nets.LipschitzDnCNN(layers=2, features=4, bound=0.8), penalty=0.3)
    solver = dj.solvers.Anderson(rtol=1e-6, max_steps=60)
    recon = dj.Reconstructor(half_quadratic, solver, normalisation=dj.SmoothPhase(0.5), finish=half_quadratic)
    params = recon.init(jax.random.key(0))
    A = dj.physics.MaskedFourier(jnp.broadcast_to(jnp.asarray(MASK), (1, *SHAPE)))
    kspace = A.forward(jnp.asarray(IMAGE)[None])
    b = A.mask * jax.random.normal(jax.random.key(3), kspace.shape, kspace.dtype)
    state = equilibrium(recon, params, A, A.adjoint(kspace)).state
    respond = jax.jit(lambda b: linear_response(recon, params, A, kspace, state, solver)(b)[0])
    step = 1e-3
    ahead, behind = (recon(params, A, kspace + sign * step * b)[0] for sign in (1, -1))
    differences = (ahead - behind) / (2 * step)
    assert np.linalg.norm(respond(b) - differences) < 0.03 * np.linalg.norm(differences)


def test_an_empty_slice_gives_zeros_and_a_slice_does_not_depend_on_its_batch():
    recon, params = method(dj.EnergyScale())
    A = forward_model(1)
    images = np.stack([IMAGE, 0 * IMAGE])
    found, turned = (
        gather(recon, params, A, A.forward(jnp.asarray(batch)), SIGMA, jax.random.key(0))
        for batch in (images, images[::-1])
    )
    for name in ("image", "zero_filled", "scale", "noise", "resampling"):
        values = np.asarray(getattr(found, name))
        assert np.isfinite(values).all()
        assert values[0].any()
        assert not values[1].any()
    for name in ("image", "zero_filled", "scale"):
        np.testing.assert_allclose(getattr(found, name)[0], getattr(turned, name)[1], atol=1e-4)
    assert int(found.products[0]) > 0


def test_lines_and_points_outside_the_centre_are_left_out():
    keys = jax.random.split(jax.random.key(0), 200)
    lines = jnp.broadcast_to(jnp.arange(50) % 2 == 0, (1, 4, 50)).astype(float)
    kept = np.asarray(jax.vmap(lambda key: kept_samples(key, lines))(keys))[:, 0]
    assert (kept == kept[:, :1]).all()
    assert kept[:, 0, 23:28].all()
    assert abs(kept[:, 0, :23].mean() - 0.9) < 0.01
    rows = np.asarray(kept_samples(keys[0], lines.swapaxes(1, 2)))
    assert (rows == rows[..., :1]).all()
    points = jax.random.bernoulli(keys[1], 0.5, (1, 50, 50)).astype(float)
    kept = np.asarray(kept_samples(keys[0], points))
    assert kept[0, 23:28, 23:28].all()
    assert not (kept == kept[:, :1]).all()
    assert abs(kept.mean() - 0.9) < 0.02


@pytest.mark.slow
def test_the_bootstrap_is_the_deviation_of_separate_reconstructions():
    recon, params = method(dj.EnergyScale())
    A = dj.physics.MaskedFourier(jnp.ones((1, *SHAPE)))
    kspace = A.forward(jnp.asarray(IMAGE)[None])
    key = jax.random.key(5)
    found = equilibrium(recon, params, A, A.adjoint(kspace))
    deviation, steps = bootstrap_deviation(recon, params, A, kspace, found, key, 6, recon.solver)
    masks = [kept_samples(one, A.mask) for one in jax.random.split(key, 6)]
    images = np.stack([recon(params, dj.physics.MaskedFourier(mask), kspace)[0][0] for mask in masks])
    np.testing.assert_allclose(deviation[0], images.std(axis=0, ddof=1), atol=1e-3)
    assert int(steps[0]) >= 6


@pytest.mark.parametrize(
    ("sigma", "probes", "message"),
    [
        (-1.0, 2, "at least 0"),
        (np.nan, 2, "finite"),
        (np.ones(3), 2, r"shape \(3,\)"),
        (1.0, 0, "probes must be at least 1"),
    ],
)
def test_wrong_noise_is_refused(sigma, probes, message):
    recon, params = method(dj.EnergyScale())
    A = forward_model(1)
    with pytest.raises(ValueError, match=message):
        noise_deviation(recon, params, A, A.forward(jnp.asarray(IMAGE)), sigma, jax.random.key(0), probes=probes)


def test_other_forward_models_are_refused():
    recon, params = method(dj.EnergyScale())
    A = dj.physics.MaskedFourier(jnp.asarray(MASK), axes="tyx")
    with pytest.raises(ValueError, match=r"images \(y, x\)"):
        gather(recon, params, A, jnp.ones((2, *SHAPE), complex), 1.0, jax.random.key(0))
