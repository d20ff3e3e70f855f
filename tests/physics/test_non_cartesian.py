"""NonCartesian: adjoints, agreement with the explicit sum, with Sense and with the Toeplitz form, and wrong input."""

import builtins
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_arrays import dot_product_error, random_complex, random_smaps

import deqjax as dj
from deqjax.masks import radial_density, radial_trajectory
from deqjax.physics import NonCartesian, Sense, largest_eigenvalue, toeplitz_spectrum
from deqjax.physics.array_checks import TrajectoryUnitWarning

CASES = [
    ((7, 10), 3),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in (((8, 10), 1), ((7, 9), 1), ((8, 9), 3))),
]


@pytest.fixture
def finufft() -> None:
    pytest.importorskip("jax_finufft")


def spokes(size: tuple[int, int], number: int = 12) -> tuple[jax.Array, jax.Array]:
    trajectory = radial_trajectory(size, number)
    return jnp.asarray(trajectory), jnp.asarray(radial_density(trajectory))


def grid(size: tuple[int, int]) -> jax.Array:
    rows, columns = (np.arange(n) - n // 2 for n in size)
    return jnp.asarray(np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1), float)


@pytest.mark.parametrize(("size", "batch"), CASES)
def test_adjoint_normal_and_regularised_inverse_are_exact(finufft: None, size: tuple[int, int], batch: int) -> None:
    trajectory, density = spokes(size)
    spectrum = toeplitz_spectrum(trajectory, density, size)
    assert spectrum.shape == (2 * size[0], 2 * size[1])
    image = random_complex((batch, *size))

    @jax.jit
    def apply_to_solution(A: NonCartesian) -> jax.Array:
        solved = A.regularised_inverse(image, 0.5, 30)
        return A.normal(solved) + 0.5 * solved

    smaps = random_smaps((batch, 2, *size))
    for A in (NonCartesian(trajectory, smaps, density), NonCartesian(trajectory, smaps[0], density, spectrum)):
        gap, measured = dot_product_error(A, image)
        assert gap < 1e-5
        np.testing.assert_allclose(apply_to_solution(A), image, atol=1e-3)
        alone = NonCartesian(trajectory, A.smaps if A.smaps.ndim == 3 else A.smaps[-1], density).forward(image[-1])
        np.testing.assert_allclose(measured[-1], alone, atol=1e-5)


@pytest.mark.parametrize("size", [(7, 10), pytest.param((8, 9), marks=pytest.mark.slow)])
def test_forward_equals_the_explicit_sum_and_on_a_grid_it_equals_sense(finufft: None, size: tuple[int, int]) -> None:
    trajectory, density = spokes(size, 5)
    smaps, image = random_smaps((2, *size)), random_complex(size)
    ky, kx = np.asarray(trajectory, np.float64).reshape(-1, 2).T
    ry, rx = ((np.arange(n) - n // 2) / n for n in size)
    phases = np.exp(-2j * np.pi * np.outer(ky, ry)), np.exp(-2j * np.pi * np.outer(kx, rx))
    expected = np.einsum("ky,kx,cyx->ck", *phases, np.asarray(smaps * image)) / np.prod(size) ** 0.5
    found = NonCartesian(trajectory, smaps, density).forward(image)
    np.testing.assert_allclose(found, np.sqrt(density) * expected.reshape(found.shape), atol=2e-5)
    on_grid = NonCartesian(grid(size), smaps, jnp.ones(size))
    np.testing.assert_allclose(on_grid.forward(image), Sense(smaps, jnp.ones(size[1])).forward(image), atol=2e-5)


def test_the_reconstructor_accepts_it(finufft: None) -> None:
    size = (7, 10)
    trajectory, density = spokes(size, 12)
    A = NonCartesian(trajectory, random_smaps((2, *size)), density)
    kspace = A.forward(random_complex(size))
    recon = dj.Reconstructor(
        dj.maps.ProximalGradient(dj.nets.DnCNN(layers=2, features=4)), solver=dj.solvers.Picard(max_steps=3)
    )
    found, stats = recon(recon.init(jax.random.key(0)), A, jnp.stack([kspace, 2 * kspace, 1j * kspace]))
    assert found.shape == (3, *size)
    assert jnp.all(jnp.isfinite(found))
    assert stats.num_steps.shape == (3,)


@pytest.mark.slow
def test_gradients_equal_finite_differences(finufft: None) -> None:
    trajectory, density = spokes((7, 10), 12)
    image, smaps = random_complex((7, 10)), random_smaps((2, 7, 10))

    def loss(smaps: jax.Array, trajectory: jax.Array) -> jax.Array:
        return jnp.sum(jnp.abs(NonCartesian(trajectory, smaps, density).forward(image)) ** 2)

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))(smaps, trajectory)
    turns = random_complex(smaps.shape, 3), random_complex(trajectory.shape, 4).real
    moves = [lambda h: loss(smaps + h * turns[0], trajectory), lambda h: loss(smaps, trajectory + h * turns[1])]
    for gradient, turn, move in zip(gradients, turns, moves):
        slope = jnp.sum((gradient * turn).real)  # JAX's gradient of a complex variable is the conjugate
        np.testing.assert_allclose(slope, (move(0.003) - move(-0.003)) / 0.006, rtol=2e-2)


def test_fully_sampled_spokes_return_the_image_and_the_norm_can_be_scaled_to_one(finufft: None) -> None:
    size = (32, 32)
    trajectory, density = spokes(size, 64)
    y, x = ((np.arange(32) - 16) / 32,) * 2
    image = jnp.asarray(np.exp(-(y[:, None] ** 2 + (x[None] - 0.1) ** 2) / 0.03), complex)
    A = NonCartesian(trajectory, jnp.ones((1, *size)), density)
    assert jnp.linalg.norm(A.normal(image) - image) < 0.05 * jnp.linalg.norm(image)
    largest = largest_eigenvalue(A, jax.random.key(0), size)
    assert 1 < largest < 1.6
    scaled = NonCartesian(trajectory, A.smaps, density / largest)
    assert largest_eigenvalue(scaled, jax.random.key(1), size) == pytest.approx(1, abs=0.03)


def test_without_jax_finufft_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def import_without_finufft(name: str, *args: Any, **kwargs: Any) -> object:
        if name == "jax_finufft":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", import_without_finufft)
    A = NonCartesian(jnp.zeros((4, 8, 2)), jnp.ones((1, 8, 8)), jnp.ones((4, 8)))
    with pytest.raises(ImportError, match=r"pip install 'deqjax\[nufft\]'"):
        A.forward(jnp.ones((8, 8), complex))


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (((4, 8, 3), (1, 8, 8), (4, 8)), ["trajectory", "(4, 8, 3)"]),
        (((4, 8, 2), (8, 8), (4, 8)), ["smaps", "(8, 8)", "single coil"]),
        (((4, 8, 2), (1, 8, 8), (4, 7)), ["density", "(4, 7)", "(4, 8)"]),
        (((4, 8, 2), (1, 8, 8), (4, 8), (8, 16)), ["spectrum", "(8, 16)", "toeplitz_spectrum"]),
    ],
)
def test_wrong_arrays_raise_an_error_with_their_shapes(shapes: tuple[tuple[int, ...], ...], words: list[str]) -> None:
    arrays: list[Any] = [jnp.ones(shape) for shape in shapes]
    with pytest.raises(ValueError) as error:  # noqa: PT011
        NonCartesian(*arrays)
    assert all(word in str(error.value) for word in words), error.value


RADIAL = radial_trajectory((64, 48), 20)


@pytest.mark.parametrize(
    ("trajectory", "advice"),
    [
        (
            RADIAL / np.array([64, 48]),
            r"ky from -32 to 32 and kx from -24 to 24 .*multiply a trajectory in cycles per pix",
        ),
        (4 * RADIAL, r"largest \|ky\| and \|kx\| are 127.973 and 96: multiply a trajectory in 1/m"),
        (RADIAL[..., ::-1], "are 24 and 31.9932"),
        (RADIAL + 3, "1/m"),
        (np.full_like(RADIAL, np.nan), "NaN or infinity"),
        (np.where(RADIAL.max() == RADIAL, np.inf, RADIAL), "NaN or infinity"),
    ],
)
def test_trajectories_in_other_units_raise(trajectory: np.ndarray, advice: str) -> None:
    density = jnp.ones(trajectory.shape[:2])
    for array in (trajectory, jnp.asarray(trajectory)):
        with pytest.raises(ValueError, match=advice):
            NonCartesian(array, jnp.ones((1, 64, 48)), density)  # type: ignore[arg-type]


def test_trajectories_within_the_range_pass_and_radians_are_a_warning() -> None:
    smaps, density = jnp.ones((1, 64, 48)), jnp.ones(RADIAL.shape[:2])
    for trajectory in (RADIAL, RADIAL + 0.5, RADIAL / 2, 0 * RADIAL):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            NonCartesian(jnp.asarray(trajectory), smaps, density)
    with pytest.warns(TrajectoryUnitWarning, match="radians per pixel"):
        NonCartesian(jnp.asarray(RADIAL * 2 * np.pi / np.array([64, 48])), smaps, density)
    jax.jit(lambda k: NonCartesian(99 * k, smaps, density).trajectory)(RADIAL)


@pytest.mark.parametrize("bad", [-1, np.nan, np.inf])
def test_densities_that_are_no_areas_raise(bad: float) -> None:
    density = jnp.ones(RADIAL.shape[:2]).at[3, 4].set(bad)
    with pytest.raises(ValueError, match="density holds NaN, infinity or negative values"):
        NonCartesian(jnp.asarray(RADIAL), jnp.ones((1, 64, 48)), density)
