"""Trained networks: reading them, and applying them to images of any voxel size."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax import model_folders
from deqjax.registration import Grid, VoxelMorph, load_network, models, register_by_network
from deqjax.registration.network_maps import with_voxel_size
from deqjax.registration.trained_networks import find_network

CONFIG = """
[network]
type = "VoxelMorph"
encoder = [4]
decoder = [4]
last = []

[data]
voxel_size = 2.0
"""
SMALL = VoxelMorph(encoder=(4,), decoder=(4,), last=())


def shift_by(voxels):
    """Parameters of SMALL with a constant velocity."""
    image, grid = jnp.ones((8, 8)), Grid.of((8, 8))
    parameters = jax.tree.map(jnp.zeros_like, jax.eval_shape(SMALL.init, jax.random.key(0), image, image, grid))
    parameters["params"]["unet"]["field"]["bias"] = jnp.asarray(voxels, float)
    return parameters


@pytest.fixture
def folder(tmp_path) -> Path:
    return model_folders.write_folder(tmp_path / "model", CONFIG, {"network": shift_by((1.0, -0.5))}, "card")


def test_a_model_folder_gives_the_network_and_its_parameters(folder):
    network, parameters, voxel_size, ndim = load_network(folder)
    assert (network, voxel_size, ndim) == (SMALL, 2.0, 2)
    np.testing.assert_array_equal(parameters["params"]["unet"]["field"]["bias"], [1.0, -0.5])


@pytest.mark.parametrize("name", models())
def test_a_shipped_network_is_small_and_has_a_complete_card(name):
    path = find_network(name)
    assert (path / "params.npz").stat().st_size < 2e6
    card = (path / "README.md").read_text()
    for word in ("Data", "Terms", "Command", "seed", "Numbers", "Limits"):
        assert word in card, word
    assert "shared/data" not in (path / "config.toml").read_text()
    assert load_network(name).voxel_size > 0


def test_folders_that_hold_no_registration_network(folder):
    for name in ("nothing", "brain", model_folders.find("brain")):
        with pytest.raises(ValueError, match="not the folder of a registration network") as error:
            load_network(name)
        assert all(shipped in str(error.value) for shipped in models())
    (folder / "config.toml").write_text(CONFIG.replace("[4]", "[8]"))
    with pytest.raises(ValueError, match="another architecture"):
        load_network(folder)
    (folder / "params.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match="cannot be read as parameters"):
        load_network(folder)


def test_a_network_sees_voxels_of_the_size_of_its_training():
    grid = Grid.of((24, 16), spacing=(1.0, 0.5), origin=(3.0, 4.0))
    image = np.random.default_rng(0).normal(size=grid.shape)
    image[3, 4] = np.nan
    arguments = (image, image, SMALL, shift_by((1.0, -0.5)))
    found = register_by_network(*arguments, fixed_grid=grid, moving_grid=grid, voxel_size=2.0)
    np.testing.assert_allclose(found.displacement(grid)[12, 8], [2.0, -1.0], atol=1e-4)
    found = register_by_network(*arguments, fixed_grid=grid, moving_grid=grid)
    np.testing.assert_allclose(found.displacement(grid)[12, 8], [1.0, -0.25], atol=1e-4)


def test_the_grid_of_the_training_covers_the_image():
    grid = Grid.of((24, 17), spacing=(1.0, 0.5), origin=(3.0, 4.0))
    coarse = with_voxel_size(grid, 2.0)
    np.testing.assert_allclose(coarse.spacing(), 2.0)
    np.testing.assert_allclose(coarse.points()[0, 0], grid.points()[0, 0])
    assert float(jnp.abs(coarse.points()[-1, -1] - grid.points()[-1, -1]).max()) <= 1.0
