"""The training loop. Every kind of learning runs through it: denoisers, equilibria, registration networks."""

import contextlib
import math
import os
import signal
import threading
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import jax
import optax

from deqjax.data import prefetch
from deqjax.run.experiment import Experiment
from deqjax.run.folder import Run
from deqjax.training import check_finite, count_refused, create_state, make_train_step, replicate, restart
from deqjax.types import Params


class Fitted(NamedTuple):
    """What a training run leaves."""

    params: Params
    """The moving average of the parameters, with bounded convolutions if there is a bound."""

    validation: dict[str, float]
    """The metrics of the validation after the last step; empty if this call ran no step."""

    history: list[dict[str, float]]
    """The metrics of every step that this call ran."""


def fit(experiment: Experiment, run: Run | None = None, resume_from: Path | None = None) -> Fitted:
    """Train an experiment to its end, from wherever its run stands.

    The phases follow one another; each has its objective, its optimizer and its compiled step. With a run, checkpoints
    and the log go to its folder, and a run that was killed resumes from its newest checkpoint and ends with the same
    parameters, bit for bit, as one that was not. Without a run, nothing is written.

    Args:
      experiment: what to train.
      run: the folder, or None to train in memory.
      resume_from: the folder of another run, with other settings, whose newest checkpoint a new run starts from.

    Raises:
      ValueError: the data, the parameters and the folder do not fit together. Nothing has been written then.
      NonFiniteError: a loss, a gradient or a parameter is not finite, or all gradients were refused in many steps in a
        row.
      KeyboardInterrupt: SIGINT or SIGTERM came; the running step is finished and saved first.
    """
    settings = experiment.settings
    phases = [phase for phase in experiment.phases if phase.steps]
    starts = [0, *accumulate(phase.steps for phase in phases)]
    total = starts[-1]
    steps = [
        make_train_step(
            phase.objective,
            phase.optimizer,
            seed=experiment.seed,
            spectral_bound=settings.spectral_bound,
            ema=settings.ema,
            parallel=settings.parallel,
        )
        for phase in phases
    ]

    def phase_at(step: int) -> int:
        return bisect_right(starts, step) - 1

    def make_batch(step: int) -> Any:
        return phases[phase_at(step)].batch(step)

    # Whatever does not fit is reported here, before anything is written or compiled.
    optimizer = phases[0].optimizer if phases else optax.identity()
    bounded = settings.spectral_bound > 0
    state = replicate(create_state(experiment.params, experiment.loss_params, optimizer, bounded))
    for first, compiled in zip(starts, steps):
        jax.eval_shape(compiled, state, make_batch(first))
    experiment.check()

    history: list[dict[str, float]] = []
    validation: dict[str, float] = {}
    refused = 0
    with contextlib.ExitStack() as stack:
        checkpoints = log = None
        if run is not None:
            checkpoints = stack.enter_context(run.open(resume_from))
            state = replicate(checkpoints.restore(state)) if checkpoints.latest is not None else state
            log = stack.enter_context(run.log(total, int(state.step)))
        done = int(state.step)
        interrupted = stack.enter_context(_deferred_interrupt())
        batches = stack.enter_context(contextlib.closing(prefetch(make_batch, done)))
        for step in range(done, total):
            if step and step in starts:
                state = restart(state, phases[phase_at(step)].optimizer)
            if log is not None and step in (done, *starts):
                log.say(f"phase {phases[phase_at(step)].name}: compiling the first step, which can take a minute")
            state, found = steps[phase_at(step)](state, next(batches))
            check_finite(found, step + 1)
            refused = count_refused(found, step + 1, refused)
            last = step + 1 == total
            due = (step + 1) % settings.validate_every == 0 or last
            validation = experiment.validate(experiment.exported(state.ema)) if due else {}
            metrics = {name: float(value) for name, value in found.items()} | validation
            history.append(metrics)
            if log is not None:
                log.record(step + 1, **metrics)
            stop = interrupted.is_set()
            if checkpoints is not None and ((step + 1) % settings.checkpoint_every == 0 or last or stop):
                checkpoints.save(state, next(iter(validation.values()), math.nan))
            if stop:
                raise KeyboardInterrupt
    return Fitted(experiment.exported(state.ema), validation, history)


@contextlib.contextmanager
def _deferred_interrupt() -> Iterator[threading.Event]:
    """Note SIGINT and SIGTERM in an event, so that the running step can end. A second signal interrupts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event  # only the main thread may handle signals
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, _: Any) -> None:
        event.set()
        os.write(2, b"stopping after the running step; interrupt again to stop at once\n")  # safe in a handler
        signal.signal(number, signal.default_int_handler)

    for number in previous:
        signal.signal(number, note)
    try:
        yield event
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
