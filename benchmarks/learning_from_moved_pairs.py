"""Learning from pairs of acquisitions that moved: python benchmarks/learning_from_moved_pairs.py

    python benchmarks/learning_from_moved_pairs.py --train=FILES --val=FILES [--only NAME ...] [--steps 100] [--seed 0]

The script trains configs/decolearn.toml with images of 128 x 128: two undersampled, noisy acquisitions of every slice,
between which the object moved by 4 pixels on average. No row sees a full slice. All rows start from the same model,
which was trained from random parameters on the first acquisitions alone (--start-steps; the row "each alone"), and
train for the same number of steps. The results go to runs/moved_pairs, so that a second call does not repeat them. The
table shows means over the validation slices: PSNR and SSIM of the first acquisition against the noise-free target, the
error of the motion that the row finds between its two reconstructions, over the object, and the share of the gain of
the true motion over no registration that is reached.
"""

import argparse
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from deqjax import model_folders
from deqjax.config import Config, read_config
from deqjax.data import Acquisitions, Slices, list_files
from deqjax.metrics import psnr, ssim
from deqjax.objectives import MovedPair
from deqjax.objectives.motion import both_ways
from deqjax.physics import MaskedFourier, ifft2c
from deqjax.run import fit
from deqjax.run.experiment import reconstruction_experiment
from deqjax.run.training_run import train
from deqjax.types import Params

HERE = Path(__file__).parent
OUT = Path("runs/moved_pairs")
ALONE, START, CEILING = "each alone", "unregistered", "true motion"
OVERRIDES = [
    "data.crop=[128, 128]",
    "data.crop_mode=resolution",
    "run.validation_slices=2",
    "run.validate_every=100000",
    "phase.register.steps=0",
]
MOTION = "phase.train.objective.motion"
ROWS = {
    START: [f"{MOTION}.type=NoMotion"],
    CEILING: [f"{MOTION}.type=KnownMotion"],
    "demons": [f"{MOTION}.type=DemonsMotion"],
    "network": [
        "phase.register.steps=3000",
        "phase.register.objective.motion.model=voxelmorph-brain-2d",
        f"{MOTION}.model=voxelmorph-brain-2d",
    ],
    "demons, joint": [f"{MOTION}.type=DemonsMotion", "phase.train.objective.joint=true"],
}
DEFAULT = (START, CEILING, "demons", "network")


def score(params: Params, config: Config, files: list[Path]) -> dict[str, float]:
    """Return mean metrics over the validation slices, the maximum of each target as its data range."""
    recon, objective = model_folders.inference_method(config), config.phase[-1].objective
    assert isinstance(objective, MovedPair)
    slices = Slices(files, config.data.slices, config.data.crop, config.data.crop_mode)
    acquisitions = Acquisitions(slices, config.mask, config.data.noise, config.seed, motion=config.data.motion)

    @jax.jit
    def found_motion(images: jax.Array, velocity: jax.Array) -> jax.Array:
        return objective.motion.find(params, images[:1], images[1:], velocity).there[0]

    true_motion, rows = jax.jit(both_ways), []
    for i in range(len(acquisitions)):
        (first, mask, _), (second, other, _) = (acquisitions.acquire(i, which) for which in range(2))
        A = MaskedFourier(jnp.asarray(np.stack([mask, other])))
        kspace = jnp.asarray(np.stack([first, second]))
        image, stats = recon(params, A, kspace)
        target = jnp.abs(ifft2c(jnp.asarray(slices.example(i))))
        scale = jnp.sqrt(jnp.sum(target**4) / jnp.sum(target**2))
        velocity = jnp.asarray(acquisitions.velocity(i))
        wrong = found_motion(jnp.abs(image) / scale, velocity[None]) - true_motion(velocity)[0]
        inside = target > 0.1 * jnp.max(target)
        zero_filled = jnp.abs(A.adjoint(kspace))[0]
        values = {
            "PSNR zero-filled": psnr(zero_filled, target),
            "SSIM zero-filled": ssim(zero_filled, target),
            "PSNR": psnr(jnp.abs(image[0]), target),
            "SSIM": ssim(jnp.abs(image[0]), target),
            "motion, pixels": jnp.mean(jnp.linalg.norm(true_motion(velocity)[0], axis=-1)[inside]),
            "motion error, pixels": jnp.mean(jnp.linalg.norm(wrong, axis=-1)[inside]),
            "evaluations": stats.num_steps[0],
            "converged": stats.converged[0],
        }
        rows.append({name: float(value) for name, value in values.items()})
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, help="fully sampled single-coil files: a file, a folder or a pattern")
    parser.add_argument("--val", required=True, help="fully sampled single-coil files of other people")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=DEFAULT, help=f"of {', '.join(ROWS)}")
    parser.add_argument("--steps", type=int, default=100, help="training steps of one pair")
    parser.add_argument("--start-steps", type=int, default=1000, help="training steps of the model that all rows share")
    parser.add_argument("--seed", type=int, default=0, help="seed of the parameters, masks, noise and motion")
    options = parser.parse_args()
    path, given = HERE.parent / "configs/decolearn.toml", [*OVERRIDES, f"seed={options.seed}"]
    given += [f"data.train={options.train}", f"data.val={options.val}"]
    first = OUT / f"alone-{options.start_steps}-seed{options.seed}"
    alone = [*given, f"phase.alone.steps={options.start_steps}", "phase.train.steps=0", f"out={first}"]
    alone += ROWS["demons"]  # finds the motion between the images of the first model
    tuned = [
        *given,
        "phase.alone.steps=0",
        "run.ema=0.95",
        f"phase.train.steps={options.steps}",
        f"run.init_from={first / 'model'}",
    ]
    results = {}
    for name in [ALONE, *options.only]:
        kept = first / f"{name.replace(' ', '_').replace(',', '')}-{options.steps}.json"
        if not kept.exists():
            start = time.process_time()
            config = read_config(path, alone if name == ALONE else [*tuned, *ROWS[name]])
            if name == ALONE:
                if not (first / "model").exists():
                    train(path, alone, "benchmarks/learning_from_moved_pairs.py", evaluated=False)
                params = model_folders.load_params(first / "model", model_folders.inference_method(config))
                found, history = score(params, config, list_files(options.val)), []
            else:
                fitted = fit(reconstruction_experiment(config))
                found, history = score(fitted.params, config, list_files(options.val)), fitted.history
            kept.parent.mkdir(parents=True, exist_ok=True)
            found["CPU seconds"] = time.process_time() - start
            kept.write_text(json.dumps({"result": found, "history": history}))
        results[name] = json.loads(kept.read_text())["result"]
        show(results)


def show(results: dict[str, dict[str, float]]) -> None:
    """Print the table."""
    columns = ("PSNR", "SSIM", "motion error, pixels", "evaluations", "converged")
    table = Table("training", *columns, "share")
    one = next(iter(results.values()))
    table.add_row("zero-filled", f"{one['PSNR zero-filled']:.2f}", f"{one['SSIM zero-filled']:.3f}")
    for name, row in results.items():
        share = "-"
        if START in results and CEILING in results:
            gain = results[CEILING]["PSNR"] - results[START]["PSNR"]
            share = f"{(row['PSNR'] - results[START]['PSNR']) / gain:.0%}" if gain else "-"
        table.add_row(name, *(f"{row[column]:.3f}" for column in columns), share)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
