"""Compare the losses of a displacement: python benchmarks/displacement_losses.py --data=oasis2d_000_079.npz

    python benchmarks/displacement_losses.py --data=FILE [--steps 300] [--seeds 0 1 2]

It trains configs/registration/synthetic_warps.toml with each loss and seed on 60 of the 80 people, and measures the
networks on one synthetic warp of each of the other 20, the same for all: the mean distance in voxels between the found
and the true displacement, and the bias of its length. An interval is over the people, after the mean over the seeds.
"""

import argparse

import jax
import numpy as np
from registration_attention import TRAINED
from scipy.stats import bootstrap

from deqjax.registration import Grid, SyntheticWarps
from deqjax.registration.learning import PairBatch, RegistrationProblem
from deqjax.run import find_config, fit
from deqjax.run.registration_experiment import read_registration_config, registration_experiment

LOSSES = ("distance", "squared", "perpendicular")
SIZES = (1.0, 4.0)  # of the velocity, as in the config


def trained(brains, loss, seed, steps):
    overrides = [
        "data.align=false",
        f"data.train_range=[0,{TRAINED - 1}]",
        f"data.val_range=[{TRAINED},{len(brains) - 1}]",
        f"seed={seed}",
        f"phase.train.objective.loss={loss}",
        f"phase.train.steps={steps}",
        "run.validate_every=100000",
        "run.checkpoint_every=100000",
    ]
    config = read_registration_config(find_config("registration/synthetic_warps"), overrides)
    return config.network, fit(registration_experiment(config, brains)).params


def measured(network, params, images):
    """Return the distance and the bias of the length for every person."""
    objective = jax.jit(SyntheticWarps(size=SIZES).bind(RegistrationProblem(network, Grid.of(images.shape[1:]))))
    keys = jax.random.split(jax.random.key(1), len(images))
    one = lambda k: objective(params, {}, PairBatch(images[k : k + 1], images[k : k + 1]), keys[k : k + 1], None)[1]
    rows = [one(k) for k in range(len(images))]
    return np.array([(row["distance"], row["length_bias"], row["size"]) for row in rows])


def text(values):
    """Return the mean and its interval of 95 % over the people."""
    interval = bootstrap((values,), np.mean, rng=0).confidence_interval
    return f"{np.mean(values):.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def main(args):
    brains, found = np.load(args.data)["images"], {}
    for loss in LOSSES:
        for seed in args.seeds:
            network, params = trained(brains, loss, seed, args.steps)
            found[loss, seed] = measured(network, params, brains[TRAINED:])
            distance, bias, size = found[loss, seed].mean(axis=0)
            print(f"{loss}, seed {seed}: {distance:.3f} of {size:.3f} voxels, length {bias:+.3f}", flush=True)
    print("| loss | distance, voxels | length bias | length bias minus that of squared | seeds with this sign |")
    print("|---" * 5 + "|")
    for loss in LOSSES:
        rows = np.stack([found[loss, seed] for seed in args.seeds])
        differences = rows[..., 1] - np.stack([found["squared", seed][:, 1] for seed in args.seeds])
        signs = np.sign(differences.mean(axis=1)) == np.sign(differences.mean())
        last = "| |" if loss == "squared" else f"{text(differences.mean(axis=0))} | {signs.sum()} of {len(signs)} |"
        print(f"| {loss} | {text(rows[..., 0].mean(axis=0))} | {text(rows[..., 1].mean(axis=0))} | {last}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="an .npz file with the array images (80, x, y)")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    main(parser.parse_args())
