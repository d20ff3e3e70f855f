"""Train a reconstruction: python train.py CONFIG [--section.key=value ...].

Reads an experiment, trains the denoiser and then the equilibrium, and leaves in the output folder (--out=, by default
runs/CONFIG): config.toml, checkpoints, log.jsonl and TensorBoard files, the model folder, and its evaluation. Run again
with the same arguments it resumes from the newest checkpoint, with the numbers of an uninterrupted run.
"""

import contextlib
import math
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import jax

from deqjax import model_folders
from deqjax.atomic_write import atomic_file
from deqjax.config import Config, read_config
from deqjax.data import Batch, Slices, batch_at, prefetch
from deqjax.implicit import Unrolled
from deqjax.nets import certify, norm_bounds
from deqjax.reconstruct import Reconstructor
from deqjax.report import TrainingLog, read_log, training_curve
from deqjax.solvers import Picard
from deqjax.toml_settings import to_table, to_toml
from deqjax.training import (
    Checkpoints,
    DenoisingObjective,
    EquilibriumObjective,
    TrainState,
    center_fraction_of,
    check_finite,
    create_state,
    make_optimiser,
    make_train_step,
    make_validation,
    replicate,
    restart,
)
from deqjax.types import Params
from evaluate import evaluate, run_folder, training_files, validation_files


def train(config: Config, out: Path, command: str) -> None:
    """Run an experiment to its end, from wherever it stands."""
    check_free(out, config)
    recon = model_folders.method_of(config)
    tested = recon.replace(solver=config.inference or config.solver)
    data = config.data
    files = Slices(training_files(config), data.slices, data.crop, data.crop_mode)
    validate = make_validation(config, Slices(validation_files(config), data.slices, data.crop, data.crop_mode))

    # Two phases, each with its objective, its optimiser and its compiled step.
    phases = [config.pretrain, config.train]
    reconstruction = EquilibriumObjective(
        recon, config.loss, data.noise, center_fraction_of(config), config.train.jacobian
    )
    unrolled = recon.replace(solver=Picard(max_steps=config.pretrain.unrolled + 1, rtol=0.0), adjoint=Unrolled())
    objectives = [
        replace(reconstruction, recon=unrolled)
        if config.pretrain.unrolled
        else DenoisingObjective(recon, config.loss, config.pretrain.noise),
        reconstruction,
    ]
    optimisers = [
        make_optimiser(
            steps=phase.steps,
            learning_rate=phase.learning_rate,
            final_learning_rate=phase.final_learning_rate,
            warmup_steps=phase.warmup_steps,
            clip_norm=phase.clip_norm,
        )
        for phase in phases
    ]
    steps = [
        make_train_step(
            objective,
            optimiser,
            seed=config.seed,
            spectral_bound=config.train.spectral_bound,
            ema=config.train.ema,
            parallel=config.train.parallel,
        )
        for objective, optimiser in zip(objectives, optimisers)
    ]
    switch, total = config.pretrain.steps, config.pretrain.steps + config.train.steps

    def make_batch(step: int) -> Batch:
        phase = phases[step >= switch]
        return batch_at(files, config.mask, phase.batch_size, data.augment, config.seed, step)

    # The state, fresh or from the newest checkpoint. Whatever does not fit is said before anything is written.
    params = starting_params(config, recon)
    state = replicate(create_state(params, config.loss, optimisers[0], bounded=config.train.spectral_bound > 0))
    for first in {0, switch} & set(range(total)):
        jax.eval_shape(steps[first >= switch], state, make_batch(first))
    check_data(files)
    claim(out, config)
    with contextlib.ExitStack() as stack:
        checkpoints = stack.enter_context(Checkpoints(out))
        if checkpoints.latest is not None:
            state = replicate(checkpoints.restore(state))
        done = int(state.step)
        log = stack.enter_context(TrainingLog(out, total, done))

        if done == total:
            print(f"{out}: all {total} steps are done")
        batches = stack.enter_context(contextlib.closing(prefetch(make_batch, done)))
        psnr = math.nan
        for step in range(done, total):
            if step == switch:
                state = restart(state, optimisers[1])
            state, numbers = steps[step >= switch](state, next(batches))
            check_finite(numbers, step + 1)
            last = step + 1 == total
            due = (step + 1) % config.train.validate_every == 0 or last
            if due:
                psnr = validate(tested, exported(state, config))
            log.record(step + 1, **numbers, validation_psnr=psnr if due else None)
            if (step + 1) % config.train.checkpoint_every == 0 or last:
                checkpoints.save(state, psnr if due else math.nan)

    finished = exported(state, config)
    if not (out / "model").exists():
        psnr = validate(tested, finished) if math.isnan(psnr) else psnr  # killed after the last step
        model_folders.save(out / "model", config, finished, card(config, command, finished, psnr))
    if rows := read_log(out / "log.jsonl"):
        training_curve(out / "training.png", rows)
    if not (out / "evaluation").exists():
        evaluate(out / "model", out / "evaluation")


def starting_params(config: Config, recon: Reconstructor) -> Params:
    """Fresh parameters, or those of a model; what goes around the solve stays fresh where the model has none of it."""
    fresh = recon.init(jax.random.key(config.seed))
    if not config.train.init_from:
        return fresh
    given = model_folders.load_config(config.train.init_from)
    missing = {part: None for part in ("smaps", "start", "finish") if getattr(given, part) is None}
    return fresh | model_folders.load_params(config.train.init_from, recon.replace(**missing))


def check_data(files: Slices, budget: int = 2**28) -> None:
    """Read what fits into a quarter of a gigabyte, so that a bad file is named before anything is written."""
    for i in range(len(files)):
        budget -= files.example(i).nbytes
        if budget < 0:
            return


def check_free(out: Path, config: Config) -> None:
    """Refuse an output folder that holds another run."""
    path = out / model_folders.CONFIG
    if path.exists() and path.read_text(encoding="utf-8") != to_toml(to_table(config)) + "\n":
        raise ValueError(f"{out}: holds another run ({path} differs); choose another --out or remove the folder")
    if not path.exists() and out.exists() and any(out.iterdir()):
        raise ValueError(f"{out}: holds other files; choose another --out")


def claim(out: Path, config: Config) -> None:
    """Take the output folder for this experiment."""
    if not (out / model_folders.CONFIG).exists():
        with atomic_file(out / model_folders.CONFIG, overwrite=True) as temporary:
            temporary.write_text(to_toml(to_table(config)) + "\n", encoding="utf-8")


def exported(state: TrainState, config: Config) -> dict:
    """The parameters that are evaluated and saved: the average, with every convolution certified to its bound."""
    bound = config.train.spectral_bound
    return certify(state.ema, bound) if bound else state.ema


def card(config: Config, command: str, params: dict, psnr: float) -> str:
    """Write the model card."""
    data = config.data.train or "the embedded phantoms"
    norms = norm_bounds(params).values()  # a classical map has none
    largest = f"; largest norm of a convolution {max(norms):.3f}" if norms else ""
    return f"""# {config.title}

* Paper: {config.paper or "none"}
* Data: trained on {data}, tuned on {config.data.val or "other phantoms"}
* Command: `{command}`, seed {config.seed}
* Parameters: {sum(leaf.size for leaf in jax.tree.leaves(params)):,}{largest}
* Validation PSNR: {psnr:.2f} dB (mean over {config.train.validation_slices} slices); the volumes are in ../evaluation
* Limits: trained at the acceleration, noise and anatomy of its config, which is config.toml beside this file; read the
  Stats of every reconstruction
"""


def main(arguments: list[str]) -> None:
    if not arguments or arguments[0].startswith("-"):
        raise SystemExit(__doc__)
    config = read_config(arguments[0], arguments[1:])
    out = run_folder(arguments[0], config)
    train(config, out, shlex.join(["python", "train.py", *arguments]))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error
