"""Weighted sums of objectives."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from deqjax.data import MeasuredBatch
from deqjax.objectives.supervised import Problem
from deqjax.solvers import Stats
from deqjax.types import LearningObjective, MeasuredObjective, Metrics, ObjectiveFunction, Params


@dataclass(frozen=True)
class Term:
    """One term of a sum: an objective and its weight, which may not be negative."""

    objective: MeasuredObjective
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise ValueError(f"weight must be at least 0; it is {self.weight}")


@dataclass(frozen=True)
class Combination:
    """The sum of objectives without targets, each with a weight: ``[[phase.objective.terms]]`` in TOML.

    Each term makes its own reconstruction, with random numbers of its own. The metrics of the solves are those of the
    first term.

    Raises:
      ValueError: there is no term.

    >>> from deqjax.objectives import Pair, Split
    >>> Combination((Term(Split()), Term(Pair(), weight=0.5))).acquisitions
    2
    """

    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        if not self.terms:
            raise ValueError("Combination needs at least one term")

    @property
    def acquisitions(self) -> int:
        """The largest number of acquisitions that a term needs."""
        return max(term.objective.acquisitions for term in self.terms)

    def init(self, key: jax.Array) -> Params:
        """Make the parameters that the terms learn beside those of the method."""
        learning = [term.objective for term in self.terms if isinstance(term.objective, LearningObjective)]
        return {part: values for objective in learning for part, values in objective.init(key).items()}

    def bind(self, problem: Problem) -> ObjectiveFunction:
        """Make the function of the parameters."""
        functions = [term.objective.bind(problem) for term in self.terms]

        def objective(
            params: Params, loss_params: Params, batch: MeasuredBatch, keys: jax.Array, probe: Stats | None
        ) -> tuple[jax.Array, Metrics]:
            total: jax.Array = jnp.zeros(())
            found: Metrics = {}
            for number, (term, function) in enumerate(zip(self.terms, functions)):
                own = jax.vmap(lambda key, number=number: jax.random.fold_in(key, number))(keys)
                value, metrics = function(params, loss_params, batch, own, None if number else probe)
                total = total + term.weight * value
                found = metrics | found | {f"term_{number + 1}": value}
            return total, found

        return objective
