"""Evaluate a model on files: table, CSV, pictures and one page.

python evaluate.py MODEL_OR_CONFIG [--data=FILES] [--out=FOLDER] [--section.key=value ...]

MODEL is the name of a model that comes with deqjax, or a folder with params.npz and config.toml (what train.py leaves
in RUN/model); a config stands for the model that train.py made of it. FILES is a file, a folder or a glob, by default
the validation files of the model's config. Further options change the config: --mask.acceleration=8,
--inference.type=Picard --inference.max_steps=200.
"""

import shlex
import sys
from pathlib import Path

from deqjax import model_folders
from deqjax.atomic_write import atomic_folder
from deqjax.config import Config, read_config
from deqjax.data import list_files, write_phantoms, write_submission
from deqjax.report import code, comparison, convergence, html_table, metrics_table, picture, write_csv, write_page
from deqjax.toml_settings import to_table, to_toml
from deqjax.training.evaluate import Volume, evaluate_file


def evaluate(model: str | Path, out: Path, data: str = "", overrides: list[str] = []) -> list[Volume]:  # noqa: B006
    """Evaluate a model, by name or folder, and write everything to ``out``, which must not exist or be empty."""
    recon, params = model_folders.load(model, overrides)
    config = model_folders.load_config(model, overrides)
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out}: holds other results; choose another --out")
    files = list_files(data) if data else validation_files(config)
    volumes = [evaluate_file(recon, params, file, config) for file in files]

    shown = ("volume", "PSNR zero-filled", "PSNR", "SSIM zero-filled", "SSIM", "steps", "residual")
    metrics_table([{name: v.row[name] for name in shown if name in v.row} for v in volumes], config.title)
    command = shlex.join(
        ["python", "evaluate.py", str(model), f"--out={out}", *([f"--data={data}"] if data else []), *overrides]
    )
    with atomic_folder(out) as temporary:
        write_results(temporary, volumes, config, recon.solver.rtol, command)
    print(f"page: {out / 'index.html'}")
    return volumes


def write_results(folder: Path, volumes: list[Volume], config: Config, rtol: float, command: str) -> None:
    """Write the table, the pictures, the images of files without a target, and the page that holds them."""
    rows = [volume.row for volume in volumes]
    write_csv(folder / "volumes.csv", rows)
    for volume in volumes:
        if volume.target is None:
            write_submission(folder / "submission" / f"{Path(volume.name).stem}.h5", volume.image)
    pictures = [draw(volume, folder) for volume in volumes[:4]]
    residuals = {volume.name: volume.stats.residuals for volume in volumes[:4]}
    convergence(folder / "convergence.png", residuals, rtol)
    page = [
        ("Volumes", [html_table(rows), "Metrics of the magnitude, per volume, then the mean over volumes."]),
        ("Pictures", [picture(path, path.stem) for path in pictures]),
        ("Convergence", [picture(folder / "convergence.png", "relative residual of each slice over evaluations of f")]),
        ("How to get this", [code(command), code(to_toml(to_table(config)))]),
    ]
    write_page(folder / "index.html", config.title, page)


def draw(volume: Volume, out: Path) -> Path:
    """Draw the middle slice of a volume: target, zero-filled, reconstruction and their errors."""
    middle = len(volume.image) // 2
    columns = {"zero-filled": volume.zero_filled[middle], "reconstruction": volume.image[middle]}
    captions = {}
    if volume.target is not None:
        columns = {"target": volume.target[middle]} | columns
        for name, key in (("zero-filled", "PSNR zero-filled"), ("reconstruction", "PSNR")):
            captions[name] = f"{volume.row[key]:.2f} dB (volume)"
    path = out / f"{Path(volume.name).stem}.png"
    comparison(path, columns, target_name="target" if volume.target is not None else "zero-filled", captions=captions)
    return path


def run_folder(path: str | Path, config: Config) -> Path:
    """Where train.py leaves the run of a config file, unless it says ``out``: ``runs/NAME``."""
    return Path(config.out or Path("runs") / Path(path).stem)


def training_files(config: Config) -> list[Path]:
    """The training files of a config, or those of the embedded data set, written where they are missing."""
    return list_files(config.data.train) if config.data.train else _phantoms(config, config.data.phantoms.train, 0)


def validation_files(config: Config) -> list[Path]:
    """The validation files of a config, or other patients of the embedded data set."""
    return list_files(config.data.val) if config.data.val else _phantoms(config, config.data.phantoms.val, 1)


def _phantoms(config: Config, count: int, seed: int) -> list[Path]:
    phantoms = config.data.phantoms
    size = "x".join(map(str, phantoms.shape))
    settings = f"{size}-coils{phantoms.coils}-noise{phantoms.noise:g}"  # so that configs which differ share no folder
    folder = Path(phantoms.folder) / settings / ("train", "val")[seed]
    return write_phantoms(folder, count, phantoms.shape, phantoms.coils, phantoms.noise, seed)


def main(arguments: list[str]) -> None:
    named = [a for a in arguments if not a.startswith("--")]
    options = dict(a.removeprefix("--").split("=", 1) for a in arguments if a.startswith(("--data=", "--out=")))
    overrides = [a for a in arguments if a.startswith("--") and not a.startswith(("--data=", "--out="))]
    if len(named) != 1:
        wrong = f"\nerror: one model or config is wanted, not {named}; files are named with --data=" if named else ""
        raise SystemExit(__doc__ + wrong)
    model: str | Path = named[0]
    if str(model).endswith(".toml"):
        model = run_folder(model, read_config(model)) / "model"
    beside = Path("runs") / model if model in model_folders.models() else Path(model).parent
    evaluate(model, Path(options.get("out", beside / "evaluation")), options.get("data", ""), overrides)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error
