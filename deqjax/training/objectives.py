"""What one training step minimises: first the denoiser, then the equilibrium."""

from dataclasses import dataclass, field
from typing import Protocol

import jax
import jax.numpy as jnp

from deqjax.data import Batch
from deqjax.jacobian_penalty import JacobianPenalty
from deqjax.maps.learned import apply_net
from deqjax.reconstruct import Reconstructor, equilibrium
from deqjax.solvers import Stats
from deqjax.training.measure import measure
from deqjax.types import Loss, MapArgs, Params

Numbers = dict[str, jax.Array]


class Objective(Protocol):
    """``(map parameters, loss parameters, batch, one key an image, probe) -> (scalar, numbers to report)``."""

    def __call__(
        self, params: Params, loss_params: Params, batch: Batch, keys: jax.Array, probe: Stats
    ) -> tuple[jax.Array, Numbers]: ...


@dataclass(frozen=True)
class DenoisingObjective:
    """Denoiser pre-training: ``loss(D(x + n), x)`` with the net D of the map, in the units in which the map works.

    The noise is complex Gaussian; its level is drawn image by image from a range.

    Source: Gilton, Ongie, Willett 2021, section V.A (pre-training of the denoiser).
    """

    recon: Reconstructor
    loss: Loss
    noise: tuple[float, float]

    def __call__(
        self, params: Params, loss_params: Params, batch: Batch, keys: jax.Array, probe: Stats
    ) -> tuple[jax.Array, Numbers]:
        target = measure(batch, keys, (0.0, 0.0), 1.0).target
        target = self.recon.normalisation(target).apply(target)

        def noise(key: jax.Array, image: jax.Array) -> jax.Array:
            level_key, noise_key = jax.random.split(key)
            level = jax.random.uniform(level_key, (), minval=self.noise[0], maxval=self.noise[1])
            return level * jax.random.normal(noise_key, image.shape, image.dtype)

        denoised = apply_net(self.recon.map.net, params, target + jax.vmap(noise)(keys, target))  # type: ignore[attr-defined]
        return self.loss(denoised, target, loss_params), {}


@dataclass(frozen=True)
class EquilibriumObjective:
    """The loss of the reconstruction and a penalty on the Jacobian of the map there, in the units in which it works.

    Where the method has a net for the start, that net is drawn to the fixed point, ``mean |start - x*|^2``, and nothing
    else is: the fixed point does not move to meet it.
    """

    recon: Reconstructor
    loss: Loss
    noise: tuple[float, float] = (0.0, 0.0)
    center_fraction: float = 0.08
    jacobian: JacobianPenalty = field(default_factory=JacobianPenalty)

    def __call__(
        self, params: Params, loss_params: Params, batch: Batch, keys: jax.Array, probe: Stats
    ) -> tuple[jax.Array, Numbers]:
        A, kspace, target = measure(batch, keys, self.noise, self.center_fraction)
        A = self.recon.forward_model(params, A)
        found = equilibrium(self.recon, params, A, A.adjoint(kspace), probe)
        target = self.recon.normalisation.of_target(target, found.units).apply(target)
        value = self.loss(self.recon.image(found.state, found.args), target, loss_params)
        numbers = {
            "forward_steps": jnp.mean(found.stats.num_steps.astype(jnp.float32)),
            "forward_residual": jnp.mean(found.stats.residual),
            "forward_converged": jnp.mean(found.stats.converged.astype(jnp.float32)),
        }
        if self.jacobian.weight:
            numbers["jacobian"] = self.jacobian(self.recon.map, found.state, found.args, keys)
            value = value + self.jacobian.weight * numbers["jacobian"]
        if self.recon.start is not None:
            state, (_, A, zero_filled) = jax.lax.stop_gradient((found.state, found.args))
            first = self.recon.first_state(MapArgs(params, A, zero_filled))
            numbers["start"] = jnp.mean(jnp.abs(self.recon.map.image(first) - self.recon.map.image(state)) ** 2)
            value = value + numbers["start"]
        return value, numbers
