"""Registration as an equilibrium: a learned update of the demons, or a learned denoiser of their field."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from deqjax.implicit import Unrolled, fixed_point
from deqjax.registration.grid import Grid
from deqjax.registration.interpolation import Order
from deqjax.registration.nets.halving import scaled_image
from deqjax.registration.similarities import MSE
from deqjax.registration.symmetric_demons import DemonsArgs, demons_args, gaussian, symmetric_force
from deqjax.registration.transforms import VelocityMap
from deqjax.solvers import Broyden
from deqjax.types import Adjoint, Params, Solver


class Correction(nn.Module):
    """A few convolutions of 3 voxels with smooth activations, whose last weights start at 0; it returns vectors.

    >>> net = Correction(widths=(4,))
    >>> net.init_with_output(jax.random.key(0), jnp.ones((6, 5, 3)))[0].shape
    (6, 5, 2)
    """

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, values: jax.Array) -> jax.Array:
        """Compute one vector for each voxel, (*shape, d), from values (*shape, channels)."""
        ndim = values.ndim - 1
        edge = lambda values: jnp.pad(values, [(1, 1)] * ndim + [(0, 0)], mode="edge")
        for width in self.widths:
            values = nn.silu(nn.Conv(width, (3,) * ndim, padding="VALID")(edge(values)))
        last = nn.Conv(ndim, (3,) * ndim, padding="VALID", kernel_init=nn.initializers.zeros)
        return last(edge(values))


class LearnedDemons(nn.Module):
    """The fixed point of ``v = (1 - decay) G (v + F(v) + N(B, A o exp v, v, F(v)))``, with the exact implicit gradient.

    G and F are the Gaussian and the symmetric force of `deqjax.registration.symmetric_demons.demons_step`, B and A are
    the fixed and the moving image, and N is a small network. An untrained N is 0, which leaves the demons. Where the
    images are flat, F is 0 and G alone hardly contracts smooth fields; the decay does.

    With ``denoiser``, the network sees the field alone, and the iteration ``v = D(v + F(v))`` has the learned denoiser
    ``D(w) = (1 - decay) G (w + N(w))`` in the place of the Gaussian: a plug-and-play registration.

    A trained update may have no fixed point, or the solver may not find it. The statistics of the solver are an
    intermediate value of the module: ``network.apply(..., mutable="intermediates")[1]["intermediates"]["stats"][0]``.
    With ``adjoint = Unrolled()`` and ``Picard(max_steps=k, rtol=0.0)`` the module is a network of k layers.

    Sources: Y. Zhang, Y. Zhao, Q. Tao, "Bridging classical and learning-based iterative registration through deep
    equilibrium models", MICCAI 2025, for a learned update that is iterated to its fixed point; J. Hu, W. Gan, Z. Sun,
    H. An, U. Kamilov, "A plug-and-play image registration network", ICLR 2024, for the denoiser of the field.

    Attributes:
      widths: the numbers of channels of the convolutions before the last one.
      denoiser: whether N sees ``v + F(v)`` alone.
      smoothing: see `deqjax.registration.demons`, in mm.
      strength: the ``weight`` of `demons`.
      decay: by how much each step shrinks the velocity, from 0 to below 1.
      squarings: the number of squarings of the exponential.
      order: the interpolation order. With 3 the fixed point is a smooth function of the parameters.
      solver: the solver of the fixed point; None for `Broyden` with 60 steps and ``rtol`` 1e-3.
      adjoint: how to differentiate; None for `deqjax.Implicit`.

    >>> grid = Grid.of((16, 16))
    >>> fixed, moving = (jnp.exp(-jnp.sum((grid.points() - centre) ** 2, -1) / 20) for centre in (7.0, 7.5))
    >>> network = LearnedDemons(widths=(4,))
    >>> found = jax.eval_shape(network.init_with_output, jax.random.key(0), fixed, moving, grid)[0]
    >>> found.velocity.shape
    (16, 16, 2)
    """

    widths: tuple[int, ...] = (16, 16)
    denoiser: bool = False
    smoothing: float = 3.0
    strength: float = 0.1
    decay: float = 0.05
    squarings: int = 5
    order: Order = 3
    solver: Solver | None = None
    adjoint: Adjoint | Unrolled | None = None

    @nn.compact
    def __call__(self, fixed: jax.Array, moving: jax.Array, grid: Grid) -> VelocityMap:
        """Return the map between two images on one grid.

        Args:
          fixed: the fixed image, (*grid.shape).
          moving: the moving image, (*grid.shape).
          grid: the grid of both.
        """
        images = scaled_image(fixed), scaled_image(moving)
        settings: tuple[Any, ...] = grid, self.smoothing, self.strength, MSE(), self.squarings, self.order
        args = demons_args(*images, jnp.ones(grid.shape), *settings)
        net, denoiser = Correction(self.widths, parent=None), self.denoiser
        decay = self.decay
        channels = grid.ndim if denoiser else 2 + 2 * grid.ndim
        first = jnp.zeros((1, *grid.shape, channels))
        parameters = self.param("correction", lambda key: net.init(key, first[0])["params"])

        def step(velocity: jax.Array, args: tuple[DemonsArgs, Params]) -> jax.Array:
            demons, parameters = args
            voxel = demons.forward.fixed_grid.affine[:-1, :-1]
            velocity = velocity[0]
            pushed = velocity + symmetric_force(velocity, demons)
            if denoiser:
                seen = pushed @ jnp.linalg.inv(voxel).T
            else:
                moved = VelocityMap(velocity, grid, demons.squarings).exponential().vectors
                pair = jnp.stack([demons.forward.fixed, demons.forward.warped(moved)[0]], axis=-1)
                vectors = jnp.stack([velocity, pushed - velocity], axis=-2) @ jnp.linalg.inv(voxel).T
                seen = jnp.concatenate([pair, vectors.reshape(*grid.shape, -1)], axis=-1)
            correction: Any = net.apply({"params": parameters}, seen)
            pushed += correction @ voxel.T
            return (1 - decay) * gaussian(pushed, demons)[None]

        solver = Broyden(max_steps=60, rtol=1e-3) if self.solver is None else self.solver
        start = jnp.zeros((1, *grid.shape, grid.ndim))
        velocity, stats = fixed_point(step, start, (args, parameters), solver=solver, adjoint=self.adjoint)
        self.sow("intermediates", "stats", stats)
        return VelocityMap(velocity[0], grid, self.squarings)
