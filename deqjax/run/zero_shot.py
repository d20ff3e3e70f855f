"""Fine-tuning of a model on the one scan at hand, without a target, with early stopping on held-out lines."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from deqjax import model_folders
from deqjax.classical_methods import METHODS
from deqjax.data import Augment, MeasuredBatch
from deqjax.input_checks.preparation import PreparedScan
from deqjax.jacobian_penalty import JacobianPenalty
from deqjax.losses import MSE
from deqjax.nets import bound_norms
from deqjax.objectives import Acquisition, Problem, Split
from deqjax.reconstruction import Method, measurement_of_slices
from deqjax.run.without_targets import decibel, held_out_error, hold_out
from deqjax.training import check_finite, create_state, make_optimizer, make_train_step, replicate
from deqjax.types import Params

ROWS = 64
"""The number of rows of a training crop."""

TESTED = 3
"""The number of slices on which the held-out lines are measured, those in the middle."""

GAIN = 0.01
"""The smallest improvement that counts, in dB."""


@dataclass(frozen=True)
class ZeroShot:
    """How a model is fine-tuned on one scan.

    A fifth of the measured lines, outside the centre, is never trained on. Each step divides the other lines of one
    slice by :class:`deqjax.objectives.Split`, in a crop of 64 rows. Every ``check_every`` steps the lines never trained
    on are predicted. The fine-tuning stops when ``patience`` checks in a row were not better than the best one by 0.01
    dB; the parameters of the best one are kept.

    Source: B. Yaman, S. A. H. Hosseini, M. Akcakaya, "Zero-shot self-supervised learning for MRI reconstruction", ICLR
    2022.

    Attributes:
      steps: the largest number of steps.
      check_every: steps between checks.
      patience: checks without an improvement before the end.
      learning_rate: of Adam, with a cosine decay.
      seed: of all random choices.

    >>> ZeroShot(steps=20).patience
    2
    """

    steps: int = 60
    check_every: int = 10
    patience: int = 2
    learning_rate: float = 5e-4
    seed: int = 0


def fine_tune(
    prepared: PreparedScan, method: Method, settings: ZeroShot = ZeroShot(), say: Callable[[str], None] = print
) -> tuple[Method, str]:
    """Fine-tune a model on one scan.

    Args:
      prepared: the scan.
      method: a trained model, by its name or folder.
      settings: see :class:`ZeroShot`.
      say: is called with a line of progress.

    Returns:
      The method with the parameters that predict the held-out lines best, which may be those at the start; and the
      verdict, a sentence.

    Raises:
      ValueError: the method has no parameters, or all of k-space or only its centre was sampled.
    """
    if method.name in METHODS:
        raise ValueError(f"{method.name} has no parameters to fine-tune: name a model, such as brain-small")
    config = model_folders.load_config(method.name)
    masks = [_whole_mask(prepared, i) for i in range(len(prepared.kspace))]
    centre = _centre_fraction(masks)
    outs = [hold_out(mask, centre, (settings.seed, i)) for i, mask in enumerate(masks)]
    if not outs[0].any() or all(mask.all() for mask in masks):
        raise ValueError(
            f"{prepared.scan.name}: self-supervised fine-tuning holds out measured lines beside the centre, of a scan "
            "that is undersampled; here there are none"
        )
    middle = len(masks) // 2
    tested = range(max(middle - TESTED // 2, 0), min(middle + (TESTED + 1) // 2, len(masks)))

    def held_out(params: Params) -> float:
        parts = [measurement_of_slices(prepared, np.array([i])) for i in tested]
        found = [held_out_error(method.recon, params, *part, outs[i]) for part, i in zip(parts, tested)]
        return decibel(*(np.concatenate(column) for column in zip(*found)))

    bound = config.run.spectral_bound
    recon = model_folders.method_of(config)
    problem = Problem(recon, MSE(), Acquisition(center_fraction=centre))
    split = Split(jacobian=JacobianPenalty(weight=1.0, power_steps=3, threshold=0.97))
    rate = settings.learning_rate
    optimizer = make_optimizer(steps=settings.steps, learning_rate=rate, final_learning_rate=rate / 20)
    step = make_train_step(split.bind(problem), optimizer, seed=settings.seed, spectral_bound=bound, ema=0.9, devices=1)
    state = replicate(create_state(method.params, {}, optimizer, bounded=bound > 0), 1)
    best, kept, waited, done = held_out(method.params), method.params, 0, 0
    start, chosen = best, 0
    say(f"{prepared.scan.name}: held-out lines {start:.2f} dB; the first step compiles for about a minute")
    while done < settings.steps and waited < settings.patience:
        for _ in range(min(settings.check_every, settings.steps - done)):
            state, metrics = step(state, _batch(prepared, masks, outs, settings.seed, done))
            done += 1
            check_finite(metrics, done)
        params = jax.tree.map(np.asarray, state.ema)
        params = params | {"map": bound_norms(params["map"], bound)} if bound else params
        score = held_out(params)
        better = score > best + GAIN
        waited = 0 if better else waited + 1
        best, kept, chosen = (score, params, done) if better else (best, kept, chosen)
        say(f"{prepared.scan.name}: step {done} of {settings.steps}, held-out lines {score:.2f} dB")
    verdict = (
        f"The model was fine-tuned on this scan for {chosen} steps: lines that it never saw went from {start:.2f} to "
        f"{best:.2f} dB (signal to error)."
        if chosen
        else f"Fine-tuning on this scan did not help: lines that it never saw stayed at {start:.2f} dB after {done} "
        "steps, and the parameters are those of the model."
    )
    return method._replace(params=kept), verdict


def _batch(
    prepared: PreparedScan, masks: list[np.ndarray], outs: list[np.ndarray], seed: int, step: int
) -> MeasuredBatch:
    """Return a random crop of one slice, without the lines that are never trained on."""
    i = step % len(masks)
    mask = masks[i] - outs[i]
    kspace = mask * prepared.kspace[i]
    if mask.shape[0] == 1:  # a crop of rows is exact for lines
        augment = Augment(crop=(min(ROWS, kspace.shape[-2]), kspace.shape[-1]), flips="y", constant_phase=True)
        (kspace,) = augment.measured([kspace], np.random.default_rng((seed, step)))
    return MeasuredBatch(kspace[None], mask[None], np.zeros(1, np.float32), np.full(1, i, np.int32))


def _whole_mask(prepared: PreparedScan, i: int) -> np.ndarray:
    """Return the mask of a slice, (1, x) or (y, x)."""
    mask = prepared.mask[i if len(prepared.mask) > 1 else 0]
    return np.broadcast_to(mask, (mask.shape[0], prepared.kspace.shape[-1]))


def _centre_fraction(masks: list[np.ndarray]) -> float:
    """Return the width of the centre that every mask samples fully, relative to the width."""
    lines = np.all([mask.all(axis=0) for mask in masks], axis=0)
    size = len(lines)
    number = 0
    while number < size and lines[(size - number) // 2 : (size - number) // 2 + number + 1].all():
        number += 1
    return number / size
