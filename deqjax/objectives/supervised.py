"""Learning with fully sampled targets: the denoiser alone, the unrolled iteration, and the equilibrium."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp

from deqjax.data import Batch
from deqjax.implicit import Implicit, Unrolled
from deqjax.jacobian_penalty import JacobianPenalty
from deqjax.maps.parameters import apply_net
from deqjax.objectives.acquisition import Acquisition
from deqjax.reconstruct import Equilibrium, Reconstructor, equilibrium
from deqjax.solvers import Picard, Stats
from deqjax.types import DenoiserMap, Loss, Metrics, ObjectiveFunction, Params


class Problem(NamedTuple):
    """What a training run learns: a method, measured by a loss, on simulated acquisitions."""

    recon: Reconstructor
    loss: Loss
    acquire: Acquisition = Acquisition()


@dataclass(frozen=True)
class Denoising:
    """Train the network D of the map to remove noise: ``loss(D(x + n), x)``, in the units in which the map works.

    The noise n is complex and Gaussian. Its level is drawn for each image.

    Source: Gilton, Ongie, Willett 2021, section V.A (pre-training of the denoiser).

    Attributes:
      noise: range of the standard deviation of n.

    >>> import deqjax as dj
    >>> recon = Reconstructor(dj.maps.ProximalGradient(dj.nets.DnCNN(layers=2, features=4)))
    >>> objective = Denoising(noise=(0.1, 0.1)).bind(Problem(recon, dj.losses.MSE()))
    >>> batch = Batch(jnp.ones((1, 16, 16), complex), jnp.ones((1, 1, 16)))
    >>> value, _ = objective(recon.init(jax.random.key(0)), {}, batch, jax.random.split(jax.random.key(0), 1), None)
    >>> bool(0.005 < value < 0.02)
    True
    """

    noise: tuple[float, float] = (0.0, 0.2)

    def bind(self, problem: Problem) -> ObjectiveFunction:
        """Make the function of the parameters.

        Raises:
          ValueError: the map has no network.
        """
        recon, loss = problem.recon, problem.loss
        if not isinstance(recon.map, DenoiserMap):
            name = type(recon.map).__name__
            raise ValueError(f"Denoising trains the network of the map, and {name} has none: leave this phase out")
        net = recon.map.net

        def objective(
            params: Params, loss_params: Params, batch: Batch, keys: jax.Array, _: Stats | None
        ) -> tuple[jax.Array, Metrics]:
            target = Acquisition(center_fraction=1.0)(batch, keys).target
            target = recon.normalisation(target).apply(target)

            def noise(key: jax.Array, image: jax.Array) -> jax.Array:
                level_key, noise_key = jax.random.split(key)
                level = jax.random.uniform(level_key, (), minval=self.noise[0], maxval=self.noise[1])
                return level * jax.random.normal(noise_key, image.shape, image.dtype)

            denoised = apply_net(net, params["map"], target + jax.vmap(noise)(keys, target))
            return loss(denoised, target, loss_params), {}

        return objective


@dataclass(frozen=True)
class Supervised:
    """Minimise the loss between reconstruction and target, plus a penalty on the Jacobian of the map at the solution.

    Everything is in the units in which the map works. If the method has a net for the start, that net is trained to
    predict the fixed point, ``mean |start - x*|^2``; this term has no influence on the fixed point.

    An image whose implicit gradient is refused (:class:`deqjax.Implicit`, ``nan_above``) does not contribute to the
    gradient of the fixed point in that step; the training step counts it as ``backward_refused``.

    Attributes:
      unrolled: if above 0, train this number of iterations of the map end to end in place of the equilibrium.
      before_finish: weight of the loss of the image before the finish, which is the one that a certificate is about.
      jacobian: the penalty that keeps the map contracting.

    Raises:
      ValueError: a number is negative.

    >>> import deqjax as dj
    >>> recon = Reconstructor(dj.maps.HalfQuadratic(dj.nets.DnCNN(layers=2, features=4, residual=False)))
    >>> objective = Supervised().bind(Problem(recon, dj.losses.MSE()))
    >>> batch = Batch(jnp.ones((1, 16, 16), complex), jnp.ones((1, 1, 16)))
    >>> _, metrics = objective(recon.init(jax.random.key(0)), {}, batch, jax.random.split(jax.random.key(0), 1), None)
    >>> sorted(metrics)
    ['forward_converged', 'forward_residual', 'forward_steps']
    """

    unrolled: int = 0
    before_finish: float = 0.0
    jacobian: JacobianPenalty = field(default_factory=JacobianPenalty)

    def __post_init__(self) -> None:
        if self.unrolled < 0 or self.before_finish < 0:
            raise ValueError(
                f"unrolled and before_finish must be at least 0; they are {self.unrolled} and {self.before_finish}"
            )

    def bind(self, problem: Problem) -> ObjectiveFunction:
        """Make the function of the parameters."""
        recon, loss, acquire = trainable(problem.recon), problem.loss, problem.acquire
        if self.unrolled:  # the last evaluation only measures the residual
            recon = recon.replace(solver=Picard(max_steps=self.unrolled + 1, rtol=0.0), adjoint=Unrolled())

        def objective(
            params: Params, loss_params: Params, batch: Batch, keys: jax.Array, probe: Stats | None
        ) -> tuple[jax.Array, Metrics]:
            A, kspace, target = acquire(batch, keys)
            A = recon.forward_model(params, A)
            found = equilibrium(recon, params, A, A.adjoint(kspace), probe)
            target = recon.normalisation.of_target(target, found.units).apply(target)
            value = loss(recon.image(params, found.state, found.args), target, loss_params)
            if self.before_finish:
                value = value + self.before_finish * loss(recon.map.image(found.state), target, loss_params)
            penalty, metrics = penalties(recon, self.jacobian, params, found, keys)
            return value + penalty, metrics

        return objective


def trainable(recon: Reconstructor) -> Reconstructor:
    """Return the method for a training step, in which a refused gradient of one image does not spoil the batch."""
    if not isinstance(recon.adjoint, Implicit):
        return recon
    return recon.replace(adjoint=replace(recon.adjoint, on_failure="drop"))


def penalties(
    recon: Reconstructor, jacobian: JacobianPenalty, params: Params, found: Equilibrium, keys: jax.Array
) -> tuple[jax.Array | float, Metrics]:
    """Return what every objective adds to its loss at a fixed point, and the metrics of the solve.

    These are the penalty on the Jacobian, and the error of the predicted start if there is a net for it.
    """
    value: jax.Array | float = 0.0
    metrics = {
        "forward_steps": jnp.mean(found.stats.num_steps.astype(jnp.float32)),
        "forward_residual": jnp.mean(found.stats.residual),
        "forward_converged": jnp.mean(found.stats.converged.astype(jnp.float32)),
    }
    if jacobian.weight:
        metrics["jacobian"] = jacobian(recon.map, found.state, found.args, keys)
        value = value + jacobian.weight * metrics["jacobian"]
    if recon.start is not None:
        state, args = jax.lax.stop_gradient((found.state, found.args))
        first = recon.first_state(params, args)
        metrics["start"] = jnp.mean(jnp.abs(recon.map.image(first) - recon.map.image(state)) ** 2)
        value = value + metrics["start"]
    return value, metrics
