"""Checkpoints of a run. They are written in the background; the latest and the best are kept."""

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

from deqjax.training.state import TrainState


class Checkpoints:
    """The checkpoints of one run: the latest two, and the one with the highest validation score.

    A checkpoint is written under another name and renamed, so that a run that is killed always finds a complete one.
    Use it as a context manager: leaving it waits until the last checkpoint has been written.

    Args:
      folder: the folder of the run; the checkpoints go to ``folder/checkpoints``.
    """

    def __init__(self, folder: str | Path) -> None:
        policy = AnyPreservationPolicy([LatestN(2), BestN(get_metric_fn=_score, n=1)])
        # best_fn makes Orbax write the metrics, so that a resumed run still knows the best checkpoint.
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policy, best_fn=_score, enable_async_checkpointing=True
        )
        self._manager = ocp.CheckpointManager(
            Path(folder).resolve() / "checkpoints", options=options, item_handlers=ocp.StandardCheckpointHandler()
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.wait_until_finished()
        self._manager.close()

    @property
    def latest(self) -> int | None:
        """The number of steps done at the newest checkpoint, or None if there is no checkpoint."""
        return self._manager.latest_step()

    def save(self, state: TrainState, score: float) -> None:
        """Begin to write a state with its validation score, which is NaN if it was not measured."""
        self._manager.save(int(state.step), args=ocp.args.StandardSave(state), metrics={"score": score})

    def restore(self, like: TrainState) -> TrainState:
        """Read the newest checkpoint into the structure of a fresh state.

        Raises:
          ValueError: there is none, or it belongs to another architecture.
        """
        if self.latest is None:
            raise ValueError(f"{self._manager.directory}: no checkpoint")
        stored = {leaf.name: leaf.shape for leaf in jax.tree.leaves(self._manager.item_metadata(self.latest).tree)}
        wanted = {_name(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(like)}
        if stored != wanted:
            name = min(dict(stored.items() ^ wanted.items()))
            raise ValueError(
                f"{self._manager.directory}: the checkpoint of step {self.latest} belongs to another architecture than "
                f"the config: {name} has shape {stored.get(name, 'missing')}, and the config makes "
                f"{wanted.get(name, 'none')}; resume with the config of the run, or choose another output folder"
            )
        state = self._manager.restore(self.latest, args=ocp.args.StandardRestore(like))
        # Restored arrays are bound to one device; fresh ones go to wherever the step runs.
        return jax.tree.map(lambda leaf: jnp.array(np.asarray(leaf)), state)


def _score(metrics: dict[str, float]) -> float:
    """Rank a checkpoint whose score was not measured, NaN, below all others."""
    return -math.inf if math.isnan(metrics["score"]) else metrics["score"]


def _name(path: tuple) -> str:
    """Return the name of a leaf as Orbax writes it, ``params.method.map``."""
    return ".".join(str(getattr(entry, "name", getattr(entry, "key", getattr(entry, "idx", "")))) for entry in path)
