"""Total variation, an unrolled network and the equilibrium on simulated brains: python benchmarks/comparison.py

The script trains the model of ``configs/quickstart.toml`` and the same network and map unrolled for ten iterations,
unless their runs exist. Each training takes a few minutes on two cores. Total variation has the weight that is best on
these very volumes. The table shows the mean over the volumes of the simulated validation set, and docs/comparison.png
shows the middle slice of the first volume.
"""

from collections.abc import Sequence
from pathlib import Path

from brain_models import draw, load, mean_metrics, show
from rich.console import Console

from deqjax.config import Config, read_config
from deqjax.maps import PrimalDual
from deqjax.priors import TotalVariation
from deqjax.reconstruct import Reconstructor
from deqjax.run import Volume, evaluate_file
from deqjax.run.experiment import validation_files
from deqjax.run.training_run import train
from deqjax.solvers import Anderson
from deqjax.types import Params

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "configs" / "quickstart.toml"
UNROLLED = (
    "solver.type=Picard",
    "solver.max_steps=11",
    "solver.rtol=0.0",
    "adjoint.type=Unrolled",
    "inference=false",
    "phase.train.objective.jacobian.weight=0.0",
)
WEIGHTS = (0.002, 0.005, 0.01, 0.02, 0.04)


def trained_model(name: str, overrides: Sequence[str] = ()) -> str:
    """Return the model folder of the quickstart with overrides, in runs/NAME. It is trained if it does not exist."""
    out = Path("runs") / name
    if not (out / "model").exists():
        train(QUICKSTART, [*overrides, f"out={out}"], "python benchmarks/comparison.py")
    return str(out / "model")


def main() -> None:
    config = read_config(QUICKSTART)
    files = validation_files(config)

    def reconstruct(recon: Reconstructor, params: Params, config: Config) -> list[Volume]:
        return [evaluate_file(recon, params, path, config) for path in files]

    equilibrium = trained_model("quickstart")
    unrolled = trained_model("quickstart_unrolled", UNROLLED)
    solver = Anderson(max_steps=300, rtol=1e-3)
    candidates = [
        reconstruct(Reconstructor(PrimalDual(TotalVariation(), weight), solver), {}, config) for weight in WEIGHTS
    ]
    results = {
        "total variation": max(candidates, key=lambda volumes: mean_metrics(volumes)["PSNR"]),
        "unrolled": reconstruct(*load(unrolled, [])),
        "unrolled, run 3 x as long": reconstruct(*load(f"{unrolled}@31", [])),
        "deep equilibrium": reconstruct(*load(equilibrium, [])),
    }
    title = f"{len(files)} simulated brains, four coils, 4x"
    show({title: {name: mean_metrics(volumes) for name, volumes in results.items()}}, Console(width=140))
    draw({name: volumes[0] for name, volumes in results.items()}, ROOT / "docs" / "comparison.png")


if __name__ == "__main__":
    main()
