"""The command ``deqjax calibrate``: the error bars of a model, measured on files that it was not trained on."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deqjax import model_folders
from deqjax.atomic_write import atomic_file
from deqjax.config import Config, to_toml
from deqjax.data import Batch, Slices, estimate_noise, list_files
from deqjax.domain import Conditions, domain_of
from deqjax.objectives import Acquisition
from deqjax.reconstruct import Reconstructor
from deqjax.run.domains import conditions_of
from deqjax.run.reconstruction_commands import add_command
from deqjax.solvers import Stats
from deqjax.types import Params
from deqjax.uncertainty import Calibration, ErrorScale, Evidence, Example, calibrate, features, fit_scale, gather
from deqjax.uncertainty.conformal import check_fraction

PIXELS = 8000
"""The number of random pixels of each slice to which the scale is fitted."""

SLICES = 20
"""The largest number of slices to which the scale is fitted, evenly spread over the files."""

STATS = ("num_steps", "residual", "converged")
"""The Stats that are stored with the evidence of a slice."""


def add_calibrate(commands: argparse._SubParsersAction) -> None:
    """Add the command ``calibrate``."""
    command = add_command(
        commands,
        "calibrate",
        calibrate_model,
        "measure the error bars of a model, for reconstruct --uncertainty",
        """
        Measure the error bars of a model and write them as calibration.toml into its folder. The fully sampled files
        are undersampled and get noise as the config of the model says. The scale of the error is fitted to the files of
        --fit, which may be training data. It is calibrated on the files of --data, which neither training nor --fit may
        have seen. The coverage holds for slices like those of --data: give slices of the people and the sampling that
        you will reconstruct.

        example:
          deqjax calibrate brain-small --data='val/*.h5' --fit='train/*.h5' --on='T2 brain of one person, 4x to 8x'
        """,
        takes_overrides=True,
    )
    command.add_argument("model", help="the name of a model (deqjax models), or a model folder")
    command.add_argument("--data", required=True, metavar="FILES", help="fully sampled files for the calibration")
    command.add_argument("--fit", required=True, metavar="FILES", help="fully sampled files for the scale of the error")
    command.add_argument("--on", required=True, metavar="TEXT", help="what --data holds: anatomy, people, sampling")
    command.add_argument("--alpha", type=float, default=0.1, help="the fraction of the pixels that may lie outside")
    command.add_argument("--delta", type=float, default=0.1, help="the probability with which more of them may")
    command.add_argument("--keep", type=Path, metavar="FOLDER", help="store slices that are done, to resume from them")
    command.add_argument("--out", type=Path, metavar="FILE", help="by default calibration.toml in the folder")


def calibrate_model(args: argparse.Namespace) -> None:
    """Calibrate a model, and write the file."""
    check_fraction("--alpha", args.alpha)
    check_fraction("--delta", args.delta)
    folder = model_folders.check_model_folder(args.model)
    config = model_folders.load_config(args.model, args.overrides)
    recon, params = model_folders.load(args.model)
    fitted, held_out = list_files(args.fit), list_files(args.data)
    both = {file.resolve() for file in fitted} & {file.resolve() for file in held_out}
    if both:
        raise ValueError(f"{min(both)}: is in --fit and in --data; the calibration needs slices that --fit lacks")
    scale = learn_scale(recon, params, config, Slices(fitted), args.keep)
    examples, conditions = [], []
    for example, found in acquired_examples(recon, params, config, Slices(held_out), keep=args.keep):
        examples.append(example)
        conditions.append(found)
        print(f"calibration: {len(examples)} slices", flush=True)
    result = calibrate(args.on, examples, scale, domain_of(args.on, conditions), args.alpha, args.delta)
    path = folder / model_folders.CALIBRATION if args.out is None else args.out
    write_calibration(path, result)
    print(f"{len(examples)} slices, factor {result.factor:.3f}: {path}\n{result.claim}")


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration as TOML, in place of an older one."""
    with atomic_file(path, overwrite=True) as temporary:
        temporary.write_text(to_toml(calibration), encoding="utf-8")


def learn_scale(
    recon: Reconstructor, params: Params, config: Config, slices: Slices, keep: Path | None = None
) -> ErrorScale:
    """Fit the scale of the error to random pixels of evenly spread slices."""
    chosen = sorted({int(i) for i in np.linspace(0, len(slices) - 1, min(SLICES, len(slices)))})
    tables: dict[str, list[np.ndarray]] = {}
    errors = []
    for count, (example, _) in enumerate(acquired_examples(recon, params, config, slices, chosen, keep), 1):
        evidence = example.evidence
        pixels = np.random.default_rng(count).integers(0, example.target.size, PIXELS)
        for name, values in features(evidence).items():
            found = np.broadcast_to(np.asarray(values[0]), example.target.shape)
            tables.setdefault(name, []).append(found.ravel()[pixels])
        error = np.abs(np.abs(np.asarray(evidence.image[0])) - example.target)
        errors.append(error.ravel()[pixels] / float(evidence.scale[0, 0, 0]))
        print(f"scale: {count} of {len(chosen)} slices", flush=True)
    return fit_scale({name: np.concatenate(table) for name, table in tables.items()}, np.concatenate(errors))


def acquired_examples(
    recon: Reconstructor,
    params: Params,
    config: Config,
    slices: Slices,
    chosen: Sequence[int] | None = None,
    keep: Path | None = None,
) -> Iterator[tuple[Example, Conditions]]:
    """Undersample slices as the config says, and reconstruct them with the evidence about their errors.

    Masks, noise and probes depend on the seed of the config and the number of the slice. The noise level that the
    evidence uses is estimated from the samples, as it is for new data. Slices without signal are left out. The evidence
    is stored in the folder ``keep`` and read from there, if it is given: use one folder for each model and config.
    """
    acquire = Acquisition(config.data.noise, config.mask.calibration_fraction)
    for i in range(len(slices)) if chosen is None else chosen:
        kspace = slices.example(i)
        if not kspace.any():
            continue
        key = jax.random.fold_in(jax.random.key(config.seed), i)
        batch = Batch(kspace[None], config.mask(kspace.shape, (config.seed, i))[None])
        measured = acquire(batch, key[None])
        path, number = slices.index[i]
        kept = None if keep is None else keep / f"{path.stem}-{number}.npz"
        if kept is not None and kept.is_file():
            evidence = read_evidence(kept)
        else:
            sigma = estimate_noise(np.asarray(measured.kspace[0]), np.asarray(batch.mask[0]))
            evidence = gather(recon, params, measured.A, measured.kspace, sigma, jax.random.fold_in(key, 1))
            if kept is not None:
                write_evidence(kept, evidence)
        yield Example(evidence, np.abs(np.asarray(measured.target[0]))), conditions_of(measured, batch.mask)


def write_evidence(path: Path, evidence: Evidence) -> None:
    """Store evidence in a .npz file, with the Stats but without their residuals."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = vars(evidence) | {name: getattr(evidence.stats, name) for name in STATS}
    del arrays["stats"]
    with atomic_file(path, overwrite=True) as temporary:
        np.savez(temporary, **arrays)


def read_evidence(path: Path) -> Evidence:
    """Read evidence from a file of :func:`write_evidence`."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: jnp.asarray(file[name]) for name in file.files}
    stats = Stats(**{name: arrays.pop(name) for name in STATS})
    return Evidence(stats=stats, **arrays)
