"""Total variation, an unrolled network and the equilibrium on invented brains: python benchmarks/comparison.py

Trains what make quickstart trains, unless it is there, and the same network and map unrolled for ten iterations, a few
minutes each on two cores. Total variation has the weight that is best on these very volumes. The table has the mean
over the volumes of the embedded validation set, docs/comparison.png the middle slice of the first.
"""

from pathlib import Path

from brain_models import draw, load, means, show
from rich.console import Console

from deqjax.config import Config, read_config
from deqjax.maps import PrimalDual
from deqjax.priors import TotalVariation
from deqjax.reconstruct import Reconstructor
from deqjax.solvers import Anderson
from deqjax.training.evaluate import Volume, evaluate_file
from deqjax.types import Params
from evaluate import validation_files
from train import train

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "configs" / "quickstart.toml"
UNROLLED = ("solver.type=Picard", "solver.max_steps=11", "solver.rtol=0.0", "adjoint.type=Unrolled", "inference=false")
WEIGHTS = (0.002, 0.005, 0.01, 0.02, 0.04)


def trained(name: str, *overrides: str) -> str:
    """The model of the quickstart with changes, in runs/NAME; trained where it is not there yet."""
    out = Path("runs") / name
    if not (out / "model").exists():
        train(read_config(QUICKSTART, overrides), out, "python benchmarks/comparison.py")
    return str(out / "model")


def main() -> None:
    config = read_config(QUICKSTART)
    files = validation_files(config)

    def reconstruct(recon: Reconstructor, params: Params, config: Config) -> list[Volume]:
        return [evaluate_file(recon, params, path, config) for path in files]

    equilibrium = trained("quickstart")
    unrolled = trained("quickstart_unrolled", *UNROLLED, "train.jacobian.weight=0.0")
    solver = Anderson(max_steps=300, rtol=1e-3)
    variations = [Reconstructor(PrimalDual(TotalVariation(), weight), solver) for weight in WEIGHTS]
    results = {
        "total variation": max((reconstruct(tv, {}, config) for tv in variations), key=lambda tv: means(tv)["PSNR"]),
        "unrolled": reconstruct(*load(unrolled, [])),
        "unrolled, run 3 x as long": reconstruct(*load(f"{unrolled}@31", [])),
        "deep equilibrium": reconstruct(*load(equilibrium, [])),
    }
    title = f"{len(files)} invented brains, four coils, 4x"
    show({title: {name: means(volumes) for name, volumes in results.items()}}, Console(width=140))
    draw({name: volumes[0] for name, volumes in results.items()}, ROOT / "docs" / "comparison.png")


if __name__ == "__main__":
    main()
