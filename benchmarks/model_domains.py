"""The domain of a model, measured: python benchmarks/model_domains.py MODEL --train=FILES --val=FILES [--also=FILES]

It measures the conditions of training and validation examples, as `deqjax train` does when it writes a model. It then
reconstructs simulated brains of other sizes, accelerations and numbers of coils, and the first slice of further files
at 4x. Conditions in which the model improves the zero-filled image by at least 2 dB join the domain. `--write` stores
the result as domain.toml in the folder of the model.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import deqjax as dj
from deqjax import model_folders
from deqjax.config import to_toml
from deqjax.domain import Conditions, domain_of
from deqjax.masks import CartesianRandom
from deqjax.run.domains import conditions_of, training_conditions
from deqjax.run.volumes import undersample

LEAST_GAIN = 2.0
EXAMPLES = 64
SIZES = (32, 48, 64, 96, 128, 192, 256, 320)
COILS = (8, 16, 32)
ACCELERATIONS = (2.0, 12.0, 16.0)


def cases(options: argparse.Namespace) -> Iterator[tuple[str, np.ndarray, float]]:
    """Return the name, the k-space and the acceleration of everything that the model is tried on."""
    for size in options.sizes:
        yield f"phantom {size} x {size}", dj.data.phantom_volume(3, (1, size, size)).kspace, 4
    for coils in options.coils:
        yield f"phantom, {coils} coils", dj.data.phantom_volume(3, (1, 128, 128), coils=coils, noise=0.01).kspace, 4
    for acceleration in options.accelerations:
        yield f"phantom, {acceleration:g}x", dj.data.phantom_volume(3, (1, 128, 128)).kspace, acceleration
    for path in dj.data.list_files(options.also) if options.also else []:
        yield path.name, dj.data.open_scan(path, (0, 0)).kspace, 4


def improvements(options: argparse.Namespace) -> Iterator[Conditions]:
    """Print the gain of the model in every case, and return the conditions where it is large enough."""
    recon, params = dj.load(options.model)
    for label, kspace, acceleration in cases(options):
        fraction = min(0.32 / acceleration, 0.08) if kspace.shape[-1] >= 48 else 0.13
        mask = CartesianRandom(acceleration, fraction)(kspace.shape, "case")
        measured = undersample(jnp.asarray(kspace), jnp.asarray(mask), 0.0, fraction, jax.random.key(0))
        image, stats = recon(params, measured.A, measured.kspace)
        target, zero_filled = jnp.abs(measured.target), jnp.abs(measured.A.adjoint(measured.kspace))
        gain = float(dj.metrics.psnr(jnp.abs(image), target) - dj.metrics.psnr(zero_filled, target))
        found = conditions_of(measured, mask)
        print(f"{label:26}{gain:+6.2f} dB, {stats}, noise {found.noise:.3f}, contrast {found.contrast:.3f}", flush=True)
        if gain >= LEAST_GAIN:
            yield found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the name of a model, or a model folder")
    parser.add_argument("--train", required=True, help="the training files")
    parser.add_argument("--val", required=True, help="the validation files")
    parser.add_argument("--also", default="", help="further files")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="sizes of simulated brains")
    parser.add_argument("--coils", type=int, nargs="*", default=COILS, help="numbers of coils of simulated brains")
    parser.add_argument("--accelerations", type=float, nargs="*", default=ACCELERATIONS, help="further accelerations")
    parser.add_argument("--trained-on", default="T2 brain", help="the anatomy and the contrast, in words")
    parser.add_argument("--write", action="store_true", help="write domain.toml into the folder of the model")
    options = parser.parse_args()
    config = model_folders.load_config(options.model)
    training, held_out = (dj.data.Slices(dj.data.list_files(files)) for files in (options.train, options.val))
    examples = list(training_conditions(config, training, held_out, EXAMPLES))
    print("training and validation:", to_toml(domain_of(options.trained_on, examples)), sep="\n")
    domain = to_toml(domain_of(options.trained_on, examples, improvements(options)))
    print("with the conditions in which the model works:", domain, sep="\n")
    if options.write:
        folder = model_folders.check_model_folder(options.model)
        Path(folder, model_folders.DOMAIN).write_text(domain, encoding="utf-8")


if __name__ == "__main__":
    main()
