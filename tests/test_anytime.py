"""Reconstruction within a budget: every image as it is alone, and finished images cost nothing."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import deqjax as dj
from deqjax.anytime import piece_sizes

ROWS: list[int] = []


@dataclass(frozen=True)
class Counted:
    """A map that notes the number of images of every evaluation."""

    map: Any

    def init(self, key):
        return self.map.init(key)

    def start(self, args):
        return self.map.start(args)

    def image(self, state):
        return self.map.image(state)

    def __call__(self, state, args):
        rows = jax.tree.leaves(state)[0].shape[0]
        jax.debug.callback(lambda _: ROWS.append(rows), args.zero_filled[0, 0, 0])
        return self.map(state, args)


def cost_of(recon, params, A, kspace):
    """The image, the Stats, and the number of evaluations times images."""
    recon(params, A, kspace)[0].block_until_ready()
    jax.effects_barrier()
    ROWS.clear()
    image, stats = recon(params, A, kspace)
    image.block_until_ready()
    jax.effects_barrier()
    return image, stats, sum(ROWS)


def mixed(count, size):
    """K-space of phantoms, 1.2 to 4 times undersampled."""
    kspace = np.asarray(dj.data.phantom_volume(seed=1, shape=(count, size, size)).kspace).reshape(count, size, size)
    masks = [dj.masks.CartesianRandom(1.2 + 2.8 * i / count, 0.1)((size, size), i) for i in range(count)]
    mask = np.stack(masks).reshape(count, 1, size)
    return dj.physics.MaskedFourier(jnp.asarray(mask)), jnp.asarray(mask * kspace)


TV = dj.Reconstructor(dj.maps.PrimalDual(dj.priors.TotalVariation()), dj.solvers.Anderson(max_steps=40, rtol=1e-3))


def test_a_mixed_batch_costs_what_its_images_cost_and_each_is_as_it_is_alone():
    A, kspace = mixed(16, 16)
    image, stats, cost = cost_of(TV.replace(map=Counted(TV.map)).with_budget(), {}, A, kspace)
    own = int(np.sum(stats.num_steps))
    assert np.ptp(stats.num_steps) >= 8
    assert own <= cost <= 1.15 * own
    expected, one_by_one = TV({}, A, kspace)
    assert stats.residuals is not None
    assert one_by_one.residuals is not None
    np.testing.assert_array_equal(stats.num_steps, one_by_one.num_steps)
    np.testing.assert_array_equal(stats.converged, one_by_one.converged)
    np.testing.assert_allclose(stats.residuals, one_by_one.residuals, rtol=1e-3)
    np.testing.assert_allclose(image, expected, atol=1e-6 * float(jnp.abs(expected).max()))
    for i in (0, 9, 15):
        alone, _ = TV({}, dj.physics.MaskedFourier(A.mask[i]), kspace[i])
        np.testing.assert_allclose(image[i], alone, atol=1e-5 * float(jnp.abs(alone).max()))


@pytest.mark.slow
def test_brain_small_on_a_mixed_batch():
    recon, params = dj.load("brain-small")
    A, kspace = mixed(16, 48)
    image, stats, cost = cost_of(recon.replace(map=Counted(recon.map)).with_budget(), params, A, kspace)
    assert stats.converged.all()
    assert cost <= 1.15 * int(np.sum(stats.num_steps))
    for i in range(0, 16, 5):
        alone, its = recon(params, dj.physics.MaskedFourier(A.mask[i]), kspace[i])
        assert abs(int(its.num_steps) - int(stats.num_steps[i])) <= 1
        np.testing.assert_allclose(image[i], alone, atol=2e-3 * float(jnp.abs(alone).max()))


@pytest.mark.slow
def test_a_budget_ends_a_solve_and_the_best_iterate_is_returned():
    A, kspace = mixed(16, 16)
    image, stats = TV.with_budget(max_steps=5)({}, A, kspace)
    whole, five = TV.replace(solver=dj.solvers.Anderson(max_steps=5, rtol=1e-3))({}, A, kspace)
    np.testing.assert_allclose(image, whole, atol=1e-6 * float(jnp.abs(whole).max()))
    np.testing.assert_array_equal(stats.num_steps, five.num_steps)
    np.testing.assert_allclose(stats.residual, np.nanmin(np.asarray(stats.residuals), axis=1))
    assert TV.with_budget(seconds=1e-9)({}, A, kspace)[1].num_steps.tolist() == [2] * 16  # one chunk
    assert TV.with_budget(seconds=100)({}, A, kspace)[1].converged.all()
    assert (TV.with_budget(tolerance=1e-2)({}, A, kspace)[1].num_steps < TV({}, A, kspace)[1].num_steps).any()
    assert int(TV.with_budget(max_steps=50, tolerance=1e-12)({}, A, kspace)[1].num_steps.max()) == 50


@pytest.mark.slow
@pytest.mark.parametrize("own_maps", [False, True])
def test_several_coils_as_many_as_images_and_as_rows(own_maps):
    """The batch axis of an array is found although all axes have the same length."""
    rng = np.random.default_rng(0)
    smaps = jnp.asarray(rng.normal(size=(4, 4, 4, 4)) + 1j * rng.normal(size=(4, 4, 4, 4)), jnp.complex64)
    smaps = smaps / jnp.sqrt((jnp.abs(smaps) ** 2).sum(axis=1, keepdims=True))
    A = dj.physics.Sense(smaps if own_maps else smaps[0], jnp.asarray([1.0, 0, 1, 1]))
    net = dj.nets.DnCNN(layers=2, features=2)
    recon = dj.Reconstructor(
        dj.maps.HalfQuadratic(net, cg_steps=3),
        dj.solvers.Anderson(max_steps=12, rtol=1e-3),
        normalisation=dj.SmoothPhase(0.5),
        start=net,
        finish=dj.maps.HalfQuadratic(net, cg_steps=3),
    )
    params, kspace = recon.init(jax.random.key(0)), A.forward(smaps[:, 0].at[1].set(0))
    expected, stats = recon(params, A, kspace)
    image, found = recon.with_budget()(params, A, kspace)
    np.testing.assert_array_equal(found.num_steps, stats.num_steps)
    assert len(set(found.num_steps.tolist())) > 1  # the slice without a signal stops at once
    np.testing.assert_allclose(image, expected, atol=1e-5)
    if not own_maps:
        alone, stats = recon.with_budget()(params, A, kspace[0])
        np.testing.assert_allclose(alone, expected[0], atol=1e-5)
        assert stats.num_steps.shape == ()


def test_it_cannot_be_traced_and_settings_are_checked():
    A, kspace = mixed(1, 16)
    with pytest.raises(ValueError, match="call it outside jit"):
        jax.jit(lambda kspace: TV.with_budget()({}, A, kspace))(kspace)
    for setting in ("seconds", "max_steps", "tolerance"):
        with pytest.raises(ValueError, match=f"{setting} must be positive; it is 0"):
            TV.with_budget(**{setting: 0})


def test_sizes_of_pieces():
    for count in range(1, 70):
        sizes = piece_sizes(count)
        assert all(size & (size - 1) == 0 for size in sizes)
        assert count <= sum(sizes) <= 8 * count / 7
