"""The contract of every forward model in ``deqjax.physics``: one row for each class, and one for each kind of axes."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_arrays import dot_product_error, random_complex, random_smaps

import deqjax as dj
from deqjax import physics
from deqjax.physics import (
    Blur,
    CompressedSensing,
    Inpainting,
    MaskedFourier,
    NonCartesian,
    PhaseModulated,
    Sense,
    gaussian_matrix,
    toeplitz_spectrum,
)
from deqjax.types import ForwardModel

IMAGE, VOLUME = (5, 7), (3, 5, 7)
COILS, BATCH, PENALTY = 2, 3, 0.3


class Row(NamedTuple):
    """How to build a forward model, and the axes and the shape of one image."""

    build: Callable[[], ForwardModel]
    axes: str = "yx"
    shape: tuple[int, ...] = IMAGE


def mask(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(5).uniform(size=shape) < 0.5, float).at[..., shape[-1] // 2].set(1)


def phase(*shape: int) -> jax.Array:
    return jnp.exp(1j * jnp.asarray(np.random.default_rng(2).uniform(-3, 3, shape)))


def non_cartesian(toeplitz: bool) -> NonCartesian:
    """Every sample contributes at most its density to the norm of ``A^H A``, so that densities of sum 1 suffice."""
    pytest.importorskip("jax_finufft")
    trajectory = jnp.asarray(np.random.default_rng(3).uniform(-2.5, 2.5, size=(6, 8, 2)), float)
    density = jnp.full((6, 8), 1 / 48)
    spectrum = toeplitz_spectrum(trajectory, density, IMAGE) if toeplitz else None
    return NonCartesian(trajectory, random_smaps((COILS, *IMAGE)), density, spectrum)


ROWS = {
    "MaskedFourier": Row(lambda: MaskedFourier(mask(1, 7))),
    "MaskedFourier of volumes": Row(lambda: MaskedFourier(mask(3, 5, 1), "zyx"), "zyx", VOLUME),
    "MaskedFourier of series": Row(lambda: MaskedFourier(mask(3, 1, 7), "tyx"), "tyx", VOLUME),
    "Sense": Row(lambda: Sense(random_smaps((COILS, *IMAGE)), mask(1, 7))),
    "Sense of volumes": Row(lambda: Sense(random_smaps((COILS, *VOLUME), -4), mask(3, 5, 1), "zyx"), "zyx", VOLUME),
    "Sense of series": Row(lambda: Sense(random_smaps((COILS, 1, 5, 7), -4), mask(3, 1, 7), "tyx"), "tyx", VOLUME),
    "NonCartesian": Row(lambda: non_cartesian(toeplitz=False)),
    "NonCartesian with a spectrum": Row(lambda: non_cartesian(toeplitz=True)),
    "PhaseModulated": Row(lambda: PhaseModulated(Sense(random_smaps((COILS, *IMAGE)), mask(1, 7)), phase(*IMAGE))),
    "PhaseModulated of series": Row(
        lambda: PhaseModulated(MaskedFourier(mask(3, 1, 7), "tyx"), phase(*VOLUME)), "tyx", VOLUME
    ),
    "Blur": Row(lambda: Blur(random_complex((3, 2)) / 16)),
    "Inpainting": Row(lambda: Inpainting(mask(*IMAGE))),
    "CompressedSensing": Row(lambda: CompressedSensing(gaussian_matrix(jax.random.key(0), 20, IMAGE))),
}
each_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


def test_every_forward_model_has_a_row() -> None:
    exported = {name for name in physics.__all__ if hasattr(getattr(physics, name), "forward")}
    assert exported == {name.split()[0] for name in ROWS}


@pytest.mark.parametrize("name", ROWS)
def test_the_row_builds_a_forward_model_with_its_axes(name: str) -> None:
    A = ROWS[name].build()
    assert type(A).__name__ == name.split()[0]
    assert isinstance(A, ForwardModel)
    assert A.axes == ROWS[name].axes
    assert len(A.axes) == len(ROWS[name].shape)


@each_row
def test_adjoint_and_normal_are_exact_for_one_image_and_for_a_batch(row: Row) -> None:
    A = row.build()
    batch = random_complex((BATCH, *row.shape))
    error, measured = dot_product_error(A, batch)
    assert error < 1e-5
    error, one = dot_product_error(A, batch[-1])
    assert error < 1e-5
    np.testing.assert_allclose(measured[-1], one, atol=1e-5)
    np.testing.assert_allclose(jax.jit(lambda A: A.adjoint(one))(A), A.adjoint(measured)[-1], atol=1e-5)


@each_row
def test_the_normal_operator_is_positive_with_a_norm_of_at_most_one(row: Row) -> None:
    A, pixels = row.build(), math.prod(row.shape)
    columns = A.normal(jnp.eye(pixels, dtype=complex).reshape(pixels, *row.shape))
    matrix = np.asarray(columns).reshape(pixels, pixels).T
    np.testing.assert_allclose(matrix, matrix.conj().T, atol=1e-5)
    eigenvalues = np.linalg.eigvalsh(matrix)
    assert eigenvalues[0] > -1e-5
    assert 0 < eigenvalues[-1] < 1 + 1e-5


@each_row
def test_the_regularised_inverse_solves_its_equation(row: Row) -> None:
    A, image = row.build(), random_complex((BATCH, *row.shape))
    solution = jax.jit(lambda A: A.regularised_inverse(image, PENALTY, 40))(A)
    np.testing.assert_allclose(A.normal(solution) + PENALTY * solution, image, atol=2e-4)


@each_row
def test_gradients_are_finite_and_that_of_the_energy_is_the_normal_operator(row: Row) -> None:
    A, image = row.build(), random_complex((BATCH, *row.shape))
    energy = lambda A, image: jnp.sum(jnp.abs(A.forward(image)) ** 2)
    of_model, of_image = jax.jit(jax.grad(energy, argnums=(0, 1)))(A, image)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(of_model))
    np.testing.assert_allclose(of_image, 2 * jnp.conj(A.normal(image)), atol=1e-4)


@pytest.mark.parametrize("A", [{"net": {}}, dj.solvers.Picard()], ids=lambda A: type(A).__name__)
def test_the_reconstructor_rejects_objects_that_are_not_forward_models(A: Any) -> None:
    recon = dj.Reconstructor(dj.maps.PrimalDual(dj.priors.TotalVariation()))
    with pytest.raises(ValueError, match=f"A must be a forward model, .*not {type(A).__name__}"):
        recon({}, A, jnp.ones(IMAGE, complex))
