"""VoxelMorph: sizes, geometry, invertibility, and what the objectives of its training compute."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from deqjax.registration import (
    Grid,
    SyntheticWarps,
    Unsupervised,
    VoxelMorph,
    register,
    register_by_network,
    regularizers,
    similarities,
    transforms,
    warp,
)
from deqjax.registration.learning import PairBatch, RegistrationProblem
from deqjax.registration.objectives.unsupervised import soft_dice

SMALL = VoxelMorph(encoder=(4, 4), decoder=(4, 4), last=(4,))
KEYS, TWO = (jax.random.split(jax.random.key(0), count) for count in (1, 2))


def spot(grid, centre, width=30.0):
    return jnp.exp(-jnp.sum((grid.points() - jnp.asarray(centre)) ** 2, -1) / width)


def parameters_of(network, grid, bias=None):
    """Parameters with a field that is constant: zero weights in the last layer, and a bias in voxels."""
    image = jnp.ones(grid.shape)
    parameters = jax.tree.map(jnp.zeros_like, jax.eval_shape(network.init, jax.random.key(0), image, image, grid))
    if bias is not None:
        parameters["params"]["unet"]["field"]["bias"] = jnp.asarray(bias, float)
    return parameters


def find(network, parameters, fixed, moving, grid, *weight) -> Any:
    return network.apply(parameters, fixed, moving, grid, *weight)


class Constant:
    """A network whose map is a known shift, in mm."""

    def __init__(self, shift, grid):
        self.shift, self.grid = jnp.asarray(shift), grid

    def init(self, key, fixed, moving, grid):
        return {}

    def apply(self, parameters, fixed, moving, grid, *_):
        return transforms.DisplacementMap(jnp.broadcast_to(self.shift, (*grid.shape, grid.ndim)), grid)


@pytest.mark.parametrize("diffeomorphic", [True, False])
@pytest.mark.parametrize("shape", [(33, 20), pytest.param((9, 12, 10), marks=pytest.mark.slow)])
def test_a_zero_field_is_the_identity_bit_for_bit(shape, diffeomorphic):
    grid, network = Grid.of(shape), SMALL.clone(diffeomorphic=diffeomorphic)
    found = find(network, parameters_of(network, grid), jnp.ones(shape), jnp.ones(shape), grid)
    image = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
    np.testing.assert_array_equal(warp(image, found, grid, grid), image)


@pytest.mark.parametrize("diffeomorphic", [True, False])
def test_a_field_in_voxels_is_a_displacement_in_mm_along_the_world_axes(diffeomorphic):
    turned = np.array([[0.0, -2.0, 5.0], [3.0, 0.0, 7.0], [0.0, 0.0, 1.0]])
    grid, network = Grid(jnp.asarray(turned, float), (18, 13)), SMALL.clone(diffeomorphic=diffeomorphic)
    parameters = parameters_of(network, grid, bias=(0.5, 1.5))
    found = find(network, parameters, jnp.ones(grid.shape), jnp.ones(grid.shape), grid)
    expected = jnp.broadcast_to(jnp.asarray(turned[:2, :2] @ [0.5, 1.5]), (*grid.shape, 2))
    np.testing.assert_allclose(found.displacement(grid), expected, atol=1e-4)


def test_the_velocity_lies_at_the_centres_of_blocks_of_voxels():
    grid = Grid.of((11, 8), spacing=(2.0, 1.0), origin=(3.0, -4.0))
    parameters = parameters_of(SMALL, grid)
    found = find(SMALL, parameters, jnp.ones(grid.shape), jnp.ones(grid.shape), grid)
    blocks = np.asarray(grid.points())[:10].reshape(5, 2, 4, 2, 2).mean((1, 3))
    np.testing.assert_allclose(found.grid.points()[:5], blocks, atol=1e-5)
    assert found.grid.shape == (6, 4)


@pytest.mark.slow
def test_the_map_ignores_the_unit_and_the_zeros_around_the_object():
    grid, wide = Grid.of((32, 32)), Grid.of((48, 48))
    fixed, moving = spot(grid, (14.0, 16.0)), spot(grid, (17.0, 15.0))
    network = SMALL.clone(diffeomorphic=False)
    parameters = jax.jit(network.init)(jax.random.key(0), fixed, moving, grid)
    parameters["params"]["unet"]["field"]["kernel"] *= 1e4
    vectors = lambda one, other, grid: find(network, parameters, one, other, grid).vectors
    found = vectors(fixed, moving, grid)
    assert float(jnp.abs(found).max()) > 0.01
    np.testing.assert_allclose(vectors(1000 * fixed, 0.01 * moving, grid), found, atol=1e-5)
    padded = vectors(jnp.pad(fixed, (0, 16)), jnp.pad(moving, (0, 16)), wide)
    np.testing.assert_allclose(padded[:20, :20], found[:20, :20], atol=1e-4)


def test_the_inverse_undoes_the_map_and_a_registration_refines_it():
    grid = Grid.of((32, 32))
    fixed, moving = spot(grid, (14.0, 16.0)), spot(grid, (17.0, 15.0))
    parameters = parameters_of(SMALL, grid, bias=(1.5, -0.5))
    found = register_by_network(fixed, moving, SMALL, parameters)
    points = grid.points()[8:24, 8:24]
    np.testing.assert_allclose(found.inverse().apply_points(found.apply_points(points)), points, atol=1e-3)
    twice = register_by_network(fixed, moving, SMALL, parameters, passes=2)
    np.testing.assert_allclose(twice.apply_points(points), points + jnp.array([3.0, -1.0]), atol=1e-4)
    with pytest.raises(ValueError, match="at least 1 pass"):
        register_by_network(fixed, moving, SMALL, parameters, passes=0)
    refined = register(fixed, moving, transforms.Translation(), init=found, levels=(2.0, 1.0))
    np.testing.assert_allclose(refined.map.apply_points(jnp.array([14.0, 16.0])), [17.0, 15.0], atol=0.05)


@pytest.mark.slow
def test_training_lowers_the_objective_in_both_directions():
    grid = Grid.of((16, 16))
    images = jnp.stack([spot(grid, (6.5, 8.0), 12.0), spot(grid, (8.5, 7.0), 12.0)])
    network = VoxelMorph(encoder=(8,), decoder=(8,), last=(8,), squarings=3)
    params = {"network": jax.jit(network.init)(jax.random.key(0), images[0], images[1], grid)}
    objective = Unsupervised(similarities.MSE(), regularizers.Diffusion(1e-3), bidirectional=True)
    batch = PairBatch(images, images[::-1])
    bound = objective.bind(RegistrationProblem(network, grid))
    gradient = jax.jit(jax.value_and_grad(lambda params: bound(params, {}, batch, TWO, None)[0]))
    before, slope = gradient(params)
    for _ in range(60):
        value, slope = gradient(params)
        norm = jnp.sqrt(sum(jnp.sum(s**2) for s in jax.tree.leaves(slope)))
        params = jax.tree.map(lambda p, s, norm=norm: p - 0.05 * s / norm, params, slope)
    assert float(value) < 0.3 * float(before)


def test_both_directions_of_a_displacement_are_those_of_the_exchanged_images():
    """A network that always shifts by s fits (A, A shifted by s) in one direction, and misses by 2 s in the other."""
    grid = Grid.of((24, 24))
    one, other = spot(grid, (10.0, 12.0)), spot(grid, (13.0, 12.0))
    problem = RegistrationProblem(Constant((3.0, 0.0), grid), grid)
    batch, mse = PairBatch(one[None], other[None]), similarities.MSE()
    value = lambda **given: Unsupervised(mse, regularizers.Diffusion(), **given).bind(problem)(
        {"network": {}}, {}, batch, KEYS, None
    )
    assert float(value()[1]["similarity"]) < 1e-5
    shift = transforms.LinearMap(jnp.eye(2), jnp.array([3.0, 0.0]))
    missed = mse(other, warp(one, shift, grid, grid), jnp.ones(grid.shape), grid)
    np.testing.assert_allclose(value(bidirectional=True)[1]["similarity"], missed / 2, rtol=1e-3)
    consistency = value(consistency=regularizers.InverseConsistency(2.0))
    np.testing.assert_allclose(consistency[1]["consistency"], 2 * 6.0**2, rtol=1e-5)
    free = value(consistency=regularizers.InverseConsistency(2.0, gradient=True))
    np.testing.assert_allclose(free[1]["consistency"], 0.0, atol=1e-6)


@pytest.mark.slow
def test_a_conditional_network_gives_smoother_maps_for_larger_weights():
    grid = Grid.of((16, 16))
    images = jnp.stack([spot(grid, (8.0, 8.0), 8.0), spot(grid, (8.0, 7.0), 24.0)])
    network = VoxelMorph(encoder=(8,), decoder=(8,), last=(8,), squarings=3, conditional=True)
    params = {"network": jax.jit(network.init)(jax.random.key(0), images[0], images[1], grid)}
    objective = Unsupervised(similarities.NCC(), regularizers.Diffusion(0.5), conditional=True)
    bound = objective.bind(RegistrationProblem(network, grid))
    batch = PairBatch(*(jnp.repeat(image[None], 8, 0) for image in images))
    optimizer = optax.adam(5e-3)

    @jax.jit
    def step(params, state, number):
        keys = jax.random.split(jax.random.key(number), 8)
        updates, state = optimizer.update(jax.grad(lambda p: bound(p, {}, batch, keys, None)[0])(params), state)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for number in range(200):
        params, state = step(params, state, number)
    maps = [find(network, params["network"], *images, grid, jnp.array(w)) for w in (0.0, 0.25, 0.5, 0.75, 1.0)]
    roughness = [float(regularizers.Diffusion()(found.velocity, found.grid)) for found in maps]
    assert roughness == sorted(roughness, reverse=True)
    assert roughness[-1] < 0.1 * roughness[0]
    standard = find(network.clone(weight=0.75), params["network"], *images, grid)
    np.testing.assert_allclose(standard.velocity, maps[-2].velocity, atol=1e-5)


def test_a_network_without_a_weight_cannot_be_trained_for_all_weights():
    with pytest.raises(ValueError, match="takes a weight"):
        Unsupervised(conditional=True).bind(RegistrationProblem(SMALL, Grid.of((8, 8))))


def test_the_gradient_of_the_consistency_is_that_of_the_composition():
    """For the linear maps x + P x and x + Q x the composition has the derivative (I + Q) (I + P)."""
    grid = Grid.of((40, 40), origin=-19.5)
    P, Q = np.array([[0.02, -0.01], [0.03, 0.01]]), np.array([[-0.01, 0.02], [0.0, -0.02]])
    field = lambda matrix: grid.points() @ jnp.asarray(matrix, float).T
    expected = 3 * np.sum(((np.eye(2) + Q) @ (np.eye(2) + P) - np.eye(2)) ** 2)
    value = regularizers.InverseConsistency(3.0, gradient=True).between(field(P), field(Q), grid)
    np.testing.assert_allclose(value, expected, rtol=0.1)  # the field is constant beyond the edge


def test_the_overlap_of_labels_enters_with_its_weight():
    grid = Grid.of((6, 6))
    labels = jnp.zeros((6, 6), int).at[1:3].set(1).at[4:].set(2)
    images = spot(grid, (3.0, 3.0))[None]
    batch = PairBatch(images, images, labels[None], jnp.roll(labels, 1, 0)[None])
    network = Constant((0.0, 0.0), grid)
    value = Unsupervised(similarities.MSE(), overlap=4.0).bind(RegistrationProblem(network, grid, labels=2))
    expected = 1 - np.mean([0.5, 2 * 6 / (12 + 12)])
    np.testing.assert_allclose(value({"network": {}}, {}, batch, KEYS, None)[1]["overlap"], 4 * expected, rtol=1e-5)
    down = transforms.LinearMap(jnp.eye(2), jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(
        soft_dice(labels, jnp.roll(labels, 1, 0), down, grid, 2), (1 + 2 * 6 / 18) / 2, rtol=1e-5
    )
    with pytest.raises(ValueError, match="overlap needs labels"):
        Unsupervised(overlap=1.0).bind(RegistrationProblem(network, grid))


class Centroids(Constant):
    """A network that shifts by the distance of the centres of mass, from the fixed to the moving image."""

    def apply(self, parameters, fixed, moving, grid, *_):
        centre = lambda image: jnp.tensordot(image, grid.points(), grid.ndim) / jnp.sum(image)
        vectors = jnp.broadcast_to(centre(moving) - centre(fixed), (*grid.shape, grid.ndim))
        return transforms.DisplacementMap(vectors, grid)


SHIFT = jnp.array([3.0, 0.0])


class Shift(SyntheticWarps):
    """Every true displacement is the same shift."""

    def draw_map(self, key, grid):
        return transforms.DisplacementMap(jnp.broadcast_to(SHIFT, (*grid.shape, 2)), grid)


@pytest.mark.parametrize(
    ("found", "distance", "squared", "perpendicular", "length_bias"),
    [
        ((3.0, 0.0), 0.0, 0.0, 0.0, 0.0),
        ((2.4, 0.0), 0.6, 0.36, 0.04, -0.2),
        ((0.0, 3.0), 18**0.5, 18.0, 1.0, 0.0),  # the right length in a wrong direction
        ((-3.0, 0.0), 6.0, 36.0, 2.0, 0.0),
    ],
)
def test_the_losses_of_a_displacement(found, distance, squared, perpendicular, length_bias):
    grid = Grid.of((8, 8))
    images = spot(grid, (4.0, 4.0))[None]
    problem = RegistrationProblem(Constant(jnp.array(found), grid), grid)
    for loss, expected in (("distance", distance), ("squared", squared), ("perpendicular", perpendicular)):
        objective = Shift(loss=loss).bind(problem)  # type: ignore[arg-type]
        value, metrics = objective({"network": {}}, {}, PairBatch(images, images), KEYS, None)
        np.testing.assert_allclose(value, expected, atol=2e-3)
        np.testing.assert_allclose(metrics["length_bias"], length_bias, atol=1e-3)


def test_a_synthetic_warp_is_the_displacement_from_the_fixed_to_the_moving_image():
    """A network that follows the spot is right for a known shift; its negative misses by twice the shift."""
    grid, shift = Grid.of((32, 32)), SHIFT

    def distance(network):
        images = spot(grid, (16.0, 16.0))[None]
        objective = Shift(contrast=0.0, noise=0.0).bind(RegistrationProblem(network, grid))
        return float(objective({"network": {}}, {}, PairBatch(images, images), KEYS, None)[1]["distance"])

    assert distance(Centroids(shift, grid)) < 0.01
    np.testing.assert_allclose(distance(Constant(-shift, grid)), 6.0, atol=1e-3)


def test_random_maps_have_the_asked_size_and_do_not_fold():
    grid = Grid.of((64, 64))
    for seed in (0, 1):
        found = SyntheticWarps(size=(3.0, 3.0)).draw_map(jax.random.key(seed), grid)
        assert 2.4 < float(jnp.mean(jnp.linalg.norm(found.vectors, axis=-1))) < 3.3
        assert float(found.jacobian_determinant(grid.points()).min()) > 0
    with pytest.raises(ValueError, match="size must be a range"):
        SyntheticWarps(size=(6.0, 3.0))
