"""Several steps of a map, each with parameters of its own."""

from dataclasses import dataclass

import jax

from deqjax.types import IterationMap, MapArgs, Params, State


@dataclass(frozen=True)
class Sequence:
    """An iteration-dependent map: ``f(x) = f_K(... f_1(x))``, K steps of one map that differ in their parameters.

    As the ``start`` of a :class:`~deqjax.Reconstructor`, it is the first K iterations of a scheme whose regularizer and
    step size depend on the iteration number, and are constant from then on. The fixed point and its gradient are those
    of the constant map; the sequence determines how far the solve has to go, and it is trained to end at the fixed
    point (:class:`deqjax.objectives.Supervised`). As the ``finish`` it is K unrolled iterations after the equilibrium.
    As the ``map``, one evaluation is one cycle of K steps.

    Sources: J. Adler, O. Oktem, "Learned primal-dual reconstruction", IEEE Trans. Med. Imaging 37:1322, 2018, section
    III (parameters of their own for every unrolled iteration).

    Attributes:
      map: one step. A scalar that it learns has one value for each step.
      steps: K, at least 1.

    Raises:
      ValueError: there is no step.

    >>> import deqjax as dj
    >>> import jax.numpy as jnp
    >>> schedule = Sequence(dj.maps.HalfQuadratic(dj.nets.DnCNN(layers=2, features=4), learn_penalty=True), steps=2)
    >>> params = schedule.init(jax.random.key(0))
    >>> sorted(params), sorted(params["step_0"])
    (['step_0', 'step_1'], ['log_penalty', 'net'])
    >>> args = MapArgs(params, dj.physics.MaskedFourier(jnp.ones((1, 8))), jnp.ones((1, 8, 8), complex))
    >>> schedule(schedule.start(args), args).shape
    (1, 8, 8)
    """

    map: IterationMap
    steps: int = 3

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"Sequence needs steps >= 1; it is {self.steps}")

    def init(self, key: jax.Array) -> Params:
        return {f"step_{k}": self.map.init(jax.random.fold_in(key, k)) for k in range(self.steps)}

    def start(self, args: MapArgs) -> State:
        return self.map.start(args)

    def __call__(self, state: State, args: MapArgs) -> State:
        for k in range(self.steps):
            state = self.map(state, args._replace(params=args.params[f"step_{k}"]))
        return state

    def image(self, state: State) -> jax.Array:
        return self.map.image(state)
