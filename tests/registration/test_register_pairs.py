"""Registration of many pairs in one program."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.registration import Grid, align_centres, register, register_pairs, similarities, transforms

BRAINS = Path(__file__).parents[3] / "shared/data/registration/oasis2d_000_079.npz"


def blobs(count, shape, seed=0):
    """Make images of smooth bright spots at random points."""
    points = Grid.of(shape).points()
    centres = np.random.RandomState(seed).uniform(0.35, 0.65, (count, 3, 2)) * np.array(shape)
    return jnp.stack(
        [sum(jnp.exp(-jnp.sum((points - p) ** 2, -1) / (8 + 9 * k)) for k, p in enumerate(q)) for q in centres]
    )


def result_of_pair(found, k):
    return jax.tree.map(lambda leaf: leaf[k], found)


def assert_same_maps(many, loop, atol):
    for k, one in enumerate(loop):
        found = result_of_pair(many, k)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), found.map, one.map)


@pytest.mark.slow
def test_a_batch_gives_the_results_of_its_pairs():
    fixed, moving = blobs(3, (19, 14)), blobs(3, (19, 14), 1)
    starts = jax.vmap(align_centres, (0, 0, None, None))(fixed, moving, Grid.of((19, 14)), Grid.of((19, 14)))
    masks = jnp.ones(fixed.shape).at[0, :3].set(0)
    given: dict[str, Any] = {"transform": transforms.Rigid(), "similarity": similarities.NCC(), "levels": (1.0,)}
    many = register_pairs(fixed, moving, mask=masks, init=starts, **given)
    loop = [
        register(f, m, mask=mask, init=result_of_pair(starts, k), **given)
        for k, (f, m, mask) in enumerate(zip(fixed, moving, masks))
    ]
    assert many.measures["similarity_after"].shape == (3,)
    assert_same_maps(many, loop, atol=1e-6)


@pytest.mark.slow
def test_pairs_registered_together_agree_up_to_rounding():
    fixed, moving = blobs(3, (17, 15)), blobs(3, (17, 15), 1)
    separately, together = (
        register_pairs(fixed, moving, transforms.Translation(), levels=(1.0,), at_once=n) for n in (1, 2)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), together.map, separately.map)


@pytest.mark.slow
@pytest.mark.skipif(not BRAINS.exists(), reason="the 2-D brains are not available")
def test_a_batch_of_brains_gives_the_results_of_its_pairs():
    brains = np.load(BRAINS)["images"]
    fixed, moving = brains[:16], brains[16:32]
    given: dict[str, Any] = {"transform": transforms.Affine(), "similarity": similarities.NCC(), "levels": (4.0,)}
    assert_same_maps(
        register_pairs(fixed, moving, **given), [register(f, m, **given) for f, m in zip(fixed, moving)], 1e-6
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fixed": np.zeros((0, 8, 8)), "moving": np.zeros((0, 8, 8))}, "leading axis"),
        ({"moving": np.random.rand(3, 8, 8)}, "leading axis"),
        ({"moving": np.stack([np.eye(8), np.ones((8, 8))])}, "moving image 1"),
        ({"moving": np.random.rand(2, 8, 8, 8)}, "3-D"),
        ({"mask": np.ones((8, 8))}, "leading axis"),
        ({"mask": np.stack([np.ones((8, 8)), np.zeros((8, 8))])}, "some above 0"),
        ({"at_once": 0}, "at_once"),
        ({"moving_grid": Grid.of((8, 8), origin=100.0)}, r"pairs \[0, 1\] do not overlap"),
    ],
)
def test_an_invalid_batch_raises(arguments, message):
    images = np.random.RandomState(0).rand(2, 8, 8)
    given = {"fixed": images, "moving": images, "transform": transforms.Translation(), "levels": (1.0,)} | arguments
    with pytest.raises(ValueError, match=message):
        register_pairs(**given)
