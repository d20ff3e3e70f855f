"""A solve that stops at a proved distance to the fixed point, and where certificates are shown."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deqjax as dj
from deqjax.reconstruction import Method

NET = dj.nets.ConvexPotential(layers=2, features=8, bound=0.9, patch=2)
RECON = dj.Reconstructor(
    dj.maps.HalfQuadratic(NET, anchor=0.1, anchor_at="start"),
    dj.solvers.Anderson(max_steps=40),
    start=dj.nets.DnCNN(layers=2, features=2),
    finish=dj.maps.HalfQuadratic(dj.nets.DnCNN(layers=2, features=2)),
)
BARE = RECON.replace(finish=None)
A = dj.physics.MaskedFourier(jnp.ones((1, 16)).at[0, 1::3].set(0))


@pytest.fixture(scope="module")
def problem() -> tuple:
    image = jax.random.normal(jax.random.key(1), (3, 16, 16), complex)
    return jax.jit(RECON.init)(jax.random.key(0)), A.forward(3.0 * image)


def test_a_solve_stops_at_the_distance_and_says_so(problem: tuple) -> None:
    """One tolerance for each image, traced; the last one is below what single precision can prove."""
    params, kspace = problem
    tolerance = jnp.array([3.0, 0.1, 1e-6])
    solve = jax.jit(lambda tolerance: BARE(params, A, kspace, tolerance_in_image_units=tolerance))
    image, stats = solve(tolerance)
    proved = dj.certify(BARE, params, A, kspace, image)
    assert stats.distance is not None
    assert proved.certified.all()
    assert (proved.distance <= stats.distance).all(), "the rounding of the solve is assumed larger than it is"
    assert (stats.distance <= tolerance).tolist() == stats.converged.tolist() == [True, True, False]
    assert stats.num_steps[0] < stats.num_steps[1] < stats.num_steps[2] == 40
    assert stats.distance[1] > 1e-3, "it does not go on after the tolerance"
    assert BARE(params, A, kspace)[1].distance is None
    np.testing.assert_allclose(solve(jnp.full(3, 0.1))[0][1], image[1], rtol=1e-5)


@pytest.mark.slow
def test_the_tolerance_works_under_vmap_and_grad(problem: tuple) -> None:
    params, kspace = problem
    solve = lambda kspace: BARE(params, A, kspace, tolerance_in_image_units=0.1)[0]
    np.testing.assert_allclose(jax.vmap(solve)(kspace), solve(kspace), rtol=1e-3, atol=1e-4)

    def loss(params: dict, recon: dj.Reconstructor, tolerance: float | None) -> jax.Array:
        return jnp.sum(jnp.abs(recon(params, A, kspace, tolerance_in_image_units=tolerance)[0]))

    exact = BARE.replace(solver=dj.solvers.Anderson(max_steps=200, rtol=1e-6))
    found, expected = jax.grad(loss)(params, BARE, 0.005), jax.grad(loss)(params, exact, None)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
        np.testing.assert_allclose(one, other, atol=0.01 * float(jnp.abs(other).max()) + 1e-6)


@pytest.mark.slow
def test_the_error_of_conjugate_gradients_is_part_of_the_distance(problem: tuple) -> None:
    """The solve with 1 step converges, but its fixed point is not that of the exact inverse."""
    _, kspace = problem
    smaps = jax.random.normal(jax.random.key(2), (2, 16, 16), complex)
    smaps = smaps / jnp.sqrt(jnp.sum(jnp.abs(smaps) ** 2, axis=0))
    coils = dj.physics.Sense(smaps, A.mask)
    recon = dj.Reconstructor(dj.maps.HalfQuadratic(NET, anchor=0.1, cg_steps=1))
    measured = kspace[:, None] * jnp.ones((2, 1, 1))
    _, stats = recon(recon.init(jax.random.key(0)), coils, measured, tolerance_in_image_units=0.1)
    assert stats.distance is not None
    assert not np.any(stats.converged)
    assert (stats.distance > 0.1).all()


def test_a_tolerance_needs_a_proved_bound(problem: tuple) -> None:
    params, kspace = problem
    with pytest.raises(ValueError, match="can be proved for FISTA"):
        dj.Reconstructor(dj.maps.FISTA(dj.priors.Wavelet(levels=2)))({}, A, kspace, tolerance_in_image_units=0.1)
    large = jax.tree.map(lambda leaf: 9 * leaf if leaf.ndim == 4 else leaf, params["map"])
    with pytest.raises(ValueError, match=r"proved for the map, .*, is not below 1"):
        BARE(params | {"map": large}, A, kspace, tolerance_in_image_units=0.1)


@pytest.mark.slow
def test_a_reconstruction_has_the_certificate_of_its_fixed_point(problem: tuple) -> None:
    params, kspace = problem
    result = dj.reconstruct_kspace(kspace[:, None], A.mask, None, model=Method("small", RECON, params))
    image, _ = RECON(params, A, kspace)
    np.testing.assert_allclose(result.image, image, atol=1e-4)
    assert result.certificate is not None
    expected = dj.certify(BARE, params, A, kspace, BARE(params, A, kspace)[0])
    np.testing.assert_allclose(result.certificate.distance, expected.distance, rtol=0.2)
    assert result.certificate.certified.all()
    assert "evaluations, certified within " in result.verdict
    assert dj.reconstruct_kspace(kspace[0], A.mask, None, model="zero-filled").certificate is None
