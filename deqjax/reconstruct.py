"""Reconstruction: from k-space to an image, through the units of the map and its fixed point."""

import dataclasses
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.anytime import Anytime
from deqjax.distance import Goal, check_bounded, distance_bound, largest_change, unit_length
from deqjax.domain import Domain, inside_domain
from deqjax.implicit import Implicit, Unrolled, fixed_point
from deqjax.input_checks.arguments import check_measurement, check_parameters, check_settings
from deqjax.maps.parameters import apply_net, init_net
from deqjax.normalisation import EnergyScale
from deqjax.physics import LearnedSmaps, with_whole_mask
from deqjax.physics.array_checks import known_to_jax
from deqjax.solvers import Anderson, Stats
from deqjax.types import (
    Adjoint,
    AnchoredMap,
    BoundedMap,
    ForwardModel,
    IterationMap,
    MapArgs,
    Net,
    Normalisation,
    Params,
    Solver,
    State,
    Units,
)


@dataclass(frozen=True)
class Reconstructor:
    """A reconstruction method: an iteration map, its solver, its adjoint, and the units in which the map works.

    It holds choices and no arrays; the parameters are an argument. A call is jitted, and equal settings compile once.

    The parameters are a dict with one entry per part, ``{"map": ..., "smaps": ..., "start": ..., "finish": ...}``. A
    part that the method does not have is left out.

    Attributes:
      map: the iteration ``x -> f(x)``.
      solver: finds the fixed point. Training and inference may use different solvers.
      adjoint: differentiates the fixed point.
      normalisation: finds the units in which the map works.
      smaps: refines the coil sensitivities of the forward model before the solve.
      start: a net that computes the first iterate from the zero-filled image, which is the first iterate otherwise;
        or a map with parameters of its own, of which one step does so, such as :class:`deqjax.maps.Sequence`. It does
        not change the fixed point; it only starts the solve closer to it (S. Bai, V. Koltun, J. Z. Kolter, "Neural deep
        equilibrium solvers", ICLR 2022, section 4, the initialiser).
      finish: a second map with parameters of its own. One step of it turns the fixed point into the image. It runs only
        once, so it need not contract (S. Bai, J. Z. Kolter, V. Koltun, "Deep equilibrium models", NeurIPS 2019, theorem
        1, the function h after the equilibrium). Without it, the fixed point is the image.
      domain: for which data the parameters were trained; :func:`deqjax.load` sets it. A call then measures its data and
        reports in ``stats.inside_domain`` whether they are like those.

    >>> import deqjax as dj
    >>> recon = Reconstructor(dj.maps.ProximalGradient(dj.nets.DnCNN(layers=2, features=4)))
    >>> params = recon.init(jax.random.key(0))
    >>> A = dj.physics.MaskedFourier(jnp.array([[1.0, 0.0, 1.0, 1.0, 1.0]]))
    >>> image, stats = recon(params, A, A.forward(jnp.ones((4, 5), complex)))
    >>> image.shape, stats.residual.shape
    ((4, 5), ())
    """

    map: IterationMap
    solver: Solver = field(default_factory=Anderson)
    adjoint: Adjoint | Unrolled = field(default_factory=Implicit)
    normalisation: Normalisation = field(default_factory=EnergyScale)
    smaps: LearnedSmaps | None = None
    start: Net | IterationMap | None = None
    finish: IterationMap | None = None
    domain: Domain | None = None

    def init(self, key: jax.Array) -> Params:
        """Make fresh parameters, one entry for each part of the method."""
        params = {"map": self.map.init(key)}
        if self.smaps is not None:
            params["smaps"] = self.smaps.init(jax.random.fold_in(key, 1))
        if isinstance(self.start, IterationMap):
            params["start"] = self.start.init(jax.random.fold_in(key, 2))
        elif self.start is not None:
            params["start"] = init_net(self.start, jax.random.fold_in(key, 2))
        if self.finish is not None:
            params["finish"] = self.finish.init(jax.random.fold_in(key, 3))
        return params

    def forward_model(self, params: Params, A: ForwardModel) -> ForwardModel:
        """Refine the coil sensitivities of a forward model if the method does so; otherwise return it unchanged.

        Raises:
          ValueError: the method refines coil sensitivities, and A has none or is not a model of images (y, x).
        """
        if self.smaps is None:
            return A
        if not hasattr(A, "smaps") or len(A.axes) != 2:
            raise ValueError(
                f"the method refines coil sensitivities (coil, y, x), and {type(A).__name__} of axes "
                f"{A.axes!r} has none: use Sense with images (y, x), or replace(smaps=None)"
            )
        return dataclasses.replace(A, smaps=self.smaps(params["smaps"], A.smaps))  # type: ignore[type-var]

    def arguments(self, params: Params, A: ForwardModel, zero_filled: jax.Array) -> tuple[MapArgs, Units]:
        """Make the arguments of the map for a batch of zero-filled images ``A^H y``, and the units in which it works.

        A is the forward model after :meth:`forward_model`.

        >>> import deqjax as dj
        >>> recon = dj.Reconstructor(dj.maps.ProximalGradient(dj.nets.DnCNN(layers=2, features=4)))
        >>> params, A = recon.init(jax.random.key(0)), dj.physics.MaskedFourier(jnp.ones((1, 8)))
        >>> args, units = recon.arguments(params, A, jnp.full((1, 8, 8), 3 + 0j))
        >>> args.zero_filled[0, 0, 0].round(4).item()
        (1+0j)
        """
        units = self.normalisation(zero_filled, zero_filled.ndim - 1)
        args = MapArgs(params.get("map", {}), units.forward_model(A), units.apply(zero_filled))
        if self.start is not None and isinstance(self.map, AnchoredMap) and self.map.anchor_at == "start":
            args = args._replace(start=self.map.image(self.first_state(params, args)))
        return args, units

    def first_state(self, params: Params, args: MapArgs) -> State:
        """Make the state at which the solve starts."""
        if isinstance(self.start, IterationMap):
            args = args._replace(zero_filled=_one_step(self.start, params["start"], args.zero_filled, args))
        elif self.start is not None:
            args = args._replace(zero_filled=apply_net(self.start, params["start"], args.zero_filled))
        return self.map.start(args)

    def image(self, params: Params, state: State, args: MapArgs) -> jax.Array:
        """Compute the image from a fixed point."""
        image = self.map.image(state)
        if self.finish is None:
            return image
        return _one_step(self.finish, params.get("finish", {}), image, args)

    def replace(self, **changes: Any) -> "Reconstructor":
        """Make the same method with other settings, for example with another solver."""
        return dataclasses.replace(self, **changes)

    def with_budget(
        self, seconds: float | None = None, max_steps: int | None = None, tolerance: float | None = None
    ) -> Anytime:
        """Make the same method with a budget: it returns the best image so far, and finished images cost nothing more.

        Args:
          seconds: the wall-clock time of a call, compilation included.
          max_steps: the number of evaluations of the map for each image.
          tolerance: the relative residual at which an image has finished.

        Returns:
          A callable with the arguments and the results of the method; see :class:`deqjax.anytime.Anytime`.

        >>> import deqjax as dj
        >>> recon = dj.Reconstructor(dj.maps.PrimalDual(dj.priors.TotalVariation()))
        >>> A = dj.physics.MaskedFourier(jnp.array([[1.0, 0.0, 1.0, 1.0]]))
        >>> int(recon.with_budget(max_steps=3)({}, A, A.forward(jnp.eye(4, dtype=complex)))[1].num_steps)
        3
        """
        return Anytime(self, seconds, max_steps, tolerance)

    def __call__(
        self,
        params: Params,
        A: ForwardModel,
        kspace: jax.Array,
        probe: Stats | None = None,
        *,
        tolerance_in_image_units: jax.Array | float | None = None,
    ) -> tuple[jax.Array, Stats]:
        """Reconstruct one image, or a batch with one more leading axis.

        An image has the axes of A: (y, x), or (z, y, x), or (t, y, x). A volume or a series is one image: it has one
        entry in the Stats and one scale.

        Args:
          params: the parameters of the method, see :meth:`init`. A classical method without parameters accepts ``{}``.
          A: the forward model. Its arrays have the batch axis too, or are shared by the batch.
          kspace: ([batch,] [coil,] y, x) complex, what A measures. Samples outside the mask are ignored.
          probe: made by :func:`~deqjax.backward_probe`, for a batch only. Its gradient is the Stats of the backward
            solve.
          tolerance_in_image_units: stop where the fixed point is proved to be within this distance, in place of the
            tolerance of the solver; one number or one for each image. The distance is the square root of the sum over
            all pixels of the squared magnitudes of the differences, before the finish. ``stats.distance`` then is its
            bound, and ``stats.converged`` tells whether it is within the tolerance; see :mod:`deqjax.distance`.

        Returns:
          The complex image ([batch,] y, x) in the units of the k-space, and Stats with the same leading axis or none.

        Raises:
          ValueError: the k-space is not complex, is empty, does not fit A, or holds NaN or infinity; the mask samples
            nothing; the arguments are in the wrong order; the parameters belong to another method; or there is a
            tolerance in image units and no Lipschitz constant below 1 is proved for the map.
        """
        kspace = self.checked(params, A, kspace)
        A, goal = with_whole_mask(A, kspace), None
        if tolerance_in_image_units is not None:
            check_bounded(self.map)
            goal = Goal(jnp.asarray(tolerance_in_image_units), proved_contraction(self, params, A, kspace))
            check_bounded(self.map, goal.contraction)
        method = self if self.domain is None else self.replace(domain=None)  # one program for all domains
        image, stats = _reconstruct(method, params, A, kspace, probe, goal)
        if self.domain is not None:
            stats = dataclasses.replace(stats, inside_domain=inside_domain(self.domain, A, kspace))
        return image, stats

    def checked(self, params: Params, A: ForwardModel, kspace: Any) -> jax.Array:
        """Return the k-space as a JAX array, after the checks of a call, whose errors it raises."""
        if not isinstance(kspace, jax.Array):
            kspace = known_to_jax(kspace if isinstance(kspace, np.ndarray) else np.asarray(kspace))
        check_measurement(A, kspace)
        check_settings(self)
        check_parameters(params, parameter_shapes(self))
        return jnp.asarray(kspace)


@lru_cache
def parameter_shapes(recon: Reconstructor) -> Params:
    """Return the shapes of the parameters that ``recon.init`` makes, without making them. Each method is traced once.

    >>> import deqjax as dj
    >>> recon = Reconstructor(dj.maps.ProximalGradient(dj.nets.DnCNN()))
    >>> parameter_shapes(recon)["map"]["net"]["conv_0"]["bias"]
    ShapeDtypeStruct(shape=(64,), dtype=float32)
    """
    return jax.eval_shape(recon.init, jax.random.key(0))


class Equilibrium(NamedTuple):
    """A batch of fixed points, in the units of the map."""

    state: State
    stats: Stats
    args: MapArgs
    units: Units


def equilibrium(
    recon: Reconstructor,
    params: Params,
    A: ForwardModel,
    zero_filled: jax.Array,
    probe: Stats | None = None,
    goal: Goal | None = None,
) -> Equilibrium:
    """Find the fixed points of a method for a batch of zero-filled images ``A^H y``, (batch, [z or t,] y, x).

    This is a reconstruction without the checks and without the return to the units of the k-space. Training uses it
    inside compiled code; call it to obtain the state itself.

    Args:
      recon: the method.
      params: its parameters.
      A: the forward model, after :meth:`Reconstructor.forward_model`.
      zero_filled: ``A^H y``, (batch, [z or t,] y, x).
      probe: see :meth:`Reconstructor.__call__`.
      goal: the distance to the fixed point at which the solve stops, for a :class:`deqjax.types.BoundedMap`.

    >>> import deqjax as dj
    >>> recon = Reconstructor(dj.maps.ProximalGradient(dj.nets.DnCNN(layers=2, features=4)))
    >>> A = dj.physics.MaskedFourier(jnp.ones((1, 8)))
    >>> found = equilibrium(recon, recon.init(jax.random.key(0)), A, jnp.full((1, 8, 8), 3 + 0j))
    >>> found.state.shape, found.units.scale.round(4).item()
    ((1, 8, 8), 3.0)
    """
    args, units = recon.arguments(params, A, zero_filled)
    first = recon.first_state(params, args)
    solve = partial(fixed_point, solver=recon.solver, adjoint=recon.adjoint, probe=probe)
    if goal is None:
        return Equilibrium(*solve(recon.map, first, args), args, units)
    length = unit_length(units, args.zero_filled)
    state, stats = solve(recon.map, first, args, largest_change=largest_change(goal, length))
    distance = distance_bound(recon.map, state, args, goal, length)  # type: ignore[arg-type]
    stats = dataclasses.replace(stats, distance=distance, converged=distance <= goal.tolerance)
    return Equilibrium(state, stats, args, units)


@partial(jax.jit, static_argnums=0)
def proved_contraction(recon: Reconstructor, params: Params, A: ForwardModel, kspace: jax.Array) -> jax.Array:
    """Return the Lipschitz constant that a :class:`deqjax.types.BoundedMap` proves; infinity if it proves none.

    >>> import deqjax as dj
    >>> recon = Reconstructor(dj.maps.HalfQuadratic(dj.nets.ConvexPotential(layers=1, features=2, bound=0.5)))
    >>> A = dj.physics.MaskedFourier(jnp.ones((1, 8)))
    >>> float(proved_contraction(recon, recon.init(jax.random.key(0)), A, jnp.ones((8, 8), complex)))
    0.5
    """
    if not isinstance(recon.map, BoundedMap):
        return jnp.asarray(jnp.inf)
    A = recon.forward_model(params, A)
    zero_filled = A.adjoint(kspace)
    zero_filled = zero_filled[None] if zero_filled.ndim == len(A.axes) else zero_filled
    return recon.map.lipschitz(recon.arguments(params, A, zero_filled)[0])


@partial(jax.jit, static_argnums=0)
def _reconstruct(
    recon: Reconstructor,
    params: Params,
    A: ForwardModel,
    kspace: jax.Array,
    probe: Stats | None,
    goal: Goal | None,
) -> tuple[jax.Array, Stats]:
    A = recon.forward_model(params, A)
    zero_filled = A.adjoint(kspace)
    single = zero_filled.ndim == len(A.axes)
    found = equilibrium(recon, params, A, zero_filled[None] if single else zero_filled, probe, goal)
    image = found.units.undo(recon.image(params, found.state, found.args))
    return jax.tree.map(lambda leaf: leaf[0], (image, found.stats)) if single else (image, found.stats)


def _one_step(step: IterationMap, params: Params, image: jax.Array, args: MapArgs) -> jax.Array:
    """Make one step of a map from an image."""
    args = args._replace(params=params)
    return step.image(step(step.start(args._replace(zero_filled=image)), args))
