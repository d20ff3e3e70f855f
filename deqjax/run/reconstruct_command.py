"""The command ``deqjax reconstruct``: files in, images out, and one line with the verdict for each."""

import argparse
import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from deqjax.atomic_write import atomic_folder
from deqjax.data import list_files
from deqjax.input_checks.preparation import PreparedScan, prepare
from deqjax.masks import CartesianRandom
from deqjax.metrics import psnr, ssim
from deqjax.reconstruction import Reconstruction, check_calibrated, load_method, solve
from deqjax.report import Html, code, comparison, error_png, html_table, paragraph, picture, write_page
from deqjax.run.compilation_cache import cache_folder
from deqjax.run.image_files import output_paths, suffix_of, write_image
from deqjax.run.reconstruction_commands import add_command
from deqjax.run.zero_shot import fine_tune

COMPARED = ("zero-filled", "cg-sense", "total-variation")
"""The methods with which ``--compare`` compares."""


def add_reconstruct(commands: argparse._SubParsersAction) -> None:
    """Add the command ``reconstruct``."""
    command = add_command(
        commands,
        "reconstruct",
        reconstruct_files,
        "reconstruct files: k-space in, images out",
        """
        Reconstruct the k-space in files of any format that deqjax info knows, and .npy arrays. One line for each file
        says how many slices converged, after how many evaluations, and whether the data are inside the domain of the
        model. The lines below it say what was assumed, and what may make the image wrong. The exit code is 1 if a slice
        did not converge or a file could not be read.

        The suffix of the output chooses its kind: .nii.gz, .nii, .h5, .png, .dcm (a folder) hold the magnitude, .npz
        the complex image, the mask and the coil maps. For several files, the output is a folder, or a pattern with
        {name}. Compiled programs are kept in ~/.cache/deqjax (below XDG_CACHE_HOME; DEQJAX_CACHE=off for none).

        examples:
          deqjax reconstruct scan.h5 -o image.nii.gz
          deqjax reconstruct 'scans/*.h5' -o 'images/{name}.png' --model total-variation
          deqjax reconstruct kspace.cfl --maps maps.cfl --mask mask.npy -o image.npz
          deqjax reconstruct full.h5 --acceleration 4 --compare -o image.png
          deqjax reconstruct scan.h5 -o image.nii.gz --uncertainty
          deqjax reconstruct scan.h5 --self-supervised -o image.nii.gz
        """,
    )
    command.add_argument("files", nargs="+", metavar="IN", help="files, folders or glob patterns")
    command.add_argument("-o", "--out", required=True, metavar="OUT", help="the file, folder or pattern to write")
    command.add_argument(
        "--model",
        default="brain-small",
        help="a model (deqjax models), a model folder, total-variation, l1-wavelet, cg-sense or zero-filled",
    )
    command.add_argument("--mask", metavar="FILE", help="the sampling mask, .npy or .cfl; by default from the file")
    command.add_argument(
        "--maps", default="auto", help="coil sensitivities: a file, espirit, low-resolution, none (one coil), or auto"
    )
    command.add_argument("--acceleration", type=float, metavar="R", help="undersample fully sampled files R times")
    command.add_argument("--phase-axis", type=int, default=-1, choices=(-1, -2), help="-1 for x (default), -2 for y")
    command.add_argument(
        "--self-supervised", action="store_true", help="fine-tune the model on each scan, without a target (minutes)"
    )
    command.add_argument("--compare", action="store_true", help="compare with classical methods, in a table and a PNG")
    command.add_argument("--uncertainty", action="store_true", help="error bars, from the calibration of the model")
    command.add_argument("--report", type=Path, metavar="FOLDER", help="write a page with pictures to a new folder")


def reconstruct_files(args: argparse.Namespace) -> int | None:
    """Reconstruct files, and return 1 if one of them failed or did not converge."""
    files = [file for pattern in args.files for file in _matches(pattern)]
    outputs = output_paths(files, args.out)
    _check_options(args)
    method = load_method(args.model)
    if args.uncertainty:
        check_calibrated(method)
    mask = args.mask
    if args.acceleration is not None:
        mask = CartesianRandom(args.acceleration, min(0.32 / args.acceleration, 0.08))
    rows, drawings, good = [], [], True
    for file, out in zip(files, outputs):
        try:
            prepared = prepare(file, mask, None if args.maps == "none" else args.maps, args.phase_axis)
            tuned, tuning = method, ""
            if args.self_supervised:
                tuned, tuning = fine_tune(prepared, method, say=lambda text: print(text, file=sys.stderr, flush=True))
            with progress(file.name, prepared) as done:
                result = solve(prepared, tuned, progress=done, uncertainty=args.uncertainty)
            notes = write_image(out, result, prepared)
        except ValueError as error:
            if len(files) == 1:
                raise
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            good = False
            continue
        print(f"{file.name}: {result.verdict} -> {out}")
        lines = [] if result.uncertainty is None else [f"error bars: {result.uncertainty.summary}"]
        lines += [tuning] if tuning else []
        lines += [f"assumed: {text}" for text in (*result.assumed, *notes)]
        lines += [f"warning: {text}" for text in result.warnings]
        print(*(f"  {line}\n" for line in lines), sep="", end="", flush=True)
        good = good and result.converged
        if not (args.compare or args.report):
            continue
        results = [*(solve(prepared, load_method(name)) for name in COMPARED if args.compare), result]
        reference = prepared.reference()
        table = compare(results, reference, undersampled=not prepared.mask.all())
        rows += [{"file": file.name, **row} for row in table]
        drawings.append((file.name, results, reference))
        if args.compare:
            print("\n".join(f"  {_line(row)}" for row in table))
            picture_path = out.with_name(f"{out.name.removesuffix(suffix_of(out))}-compare.png")
            draw(picture_path, *drawings[-1][1:])
            print(f"  comparison: {picture_path}")
    if args.report is not None:
        write_report(args.report, rows, drawings, args.command_line)
        print(f"page: {args.report / 'index.html'}")
    return None if good else 1


def _check_options(args: argparse.Namespace) -> None:
    if args.report is not None and args.report.exists() and any(args.report.iterdir()):
        raise ValueError(f"{args.report}: holds other results; choose another --report")
    if args.mask is not None and args.acceleration is not None:
        raise ValueError("--mask and --acceleration: give one of them")
    if args.uncertainty and args.self_supervised:
        raise ValueError(
            "--uncertainty and --self-supervised: the error bars are those of the model before it is fine-tuned; give "
            "one of them"
        )


def compare(
    results: list[Reconstruction], reference: np.ndarray | None, undersampled: bool
) -> list[dict[str, str | float]]:
    """Return one row for each method, with metrics where there is a reference for undersampled data."""
    rows = []
    for result in results:
        steps = np.atleast_1d(np.asarray(result.stats.num_steps))
        row: dict[str, str | float] = {"method": result.model}
        if reference is not None and undersampled:
            image = np.abs(result.image)
            row |= {"PSNR": float(psnr(image, reference)), "SSIM": float(ssim(image, reference))}
        converged = np.atleast_1d(np.asarray(result.stats.converged))
        row |= {"evaluations": float(steps.mean()), "converged": f"{int(converged.sum())} of {converged.size}"}
        rows.append(row | {"seconds": result.seconds})
    return rows


def draw(path: Path, results: list[Reconstruction], reference: np.ndarray | None) -> None:
    """Draw the middle slice of every method, and the reference if there is one."""
    images = {result.model: np.abs(result.image) for result in results}
    if len(results) == 1:
        images = {"zero-filled": np.abs(results[-1].zero_filled)} | images
    target = "reference" if reference is not None else results[-1].model
    images = images if reference is None else {"reference": reference} | images
    middle = {name: image if image.ndim == 2 else image[len(image) // 2] for name, image in images.items()}
    comparison(path, middle, target_name=target)


def write_report(
    folder: Path, rows: list[dict], drawings: list[tuple[str, list[Reconstruction], np.ndarray | None]], command: str
) -> None:
    """Write a page with the verdicts, the table and the pictures to a new folder."""
    with atomic_folder(folder) as temporary:
        pictures = []
        for number, (name, results, reference) in enumerate(drawings):
            draw(temporary / f"{number}.png", results, reference)
            pictures += [paragraph(str(results[-1])), picture(temporary / f"{number}.png", f"{name}, middle slice")]
            pictures += error_bar_pictures(results[-1])
        sections = [("Files", [html_table(rows, means=False)]), ("Images", pictures), ("Command", [code(command)])]
        write_page(temporary / "index.html", "Reconstruction", sections)


def error_bar_pictures(result: Reconstruction) -> list[Html]:
    """Show the width of the intervals of the middle slice, and say what they claim and for whom it holds."""
    bars = result.uncertainty
    if bars is None:
        return []
    width = bars.width if bars.width.ndim == 2 else bars.width[len(bars.width) // 2]
    top = float(np.percentile(width, 99.8)) or 1.0
    note = f"high minus low, from 0 to {top:.3g}, the 99.8th percentile"
    return [paragraph(str(bars)), picture(error_png(width, top), "width of the intervals", note, scale="error")]


@contextlib.contextmanager
def progress(name: str, prepared: PreparedScan) -> Iterator:
    """Report the slices that are done on a terminal, and say why the first images may take long."""
    count, (y, x) = len(prepared.kspace), prepared.kspace.shape[-2:]
    kept = "" if cache_folder() is None else f", which is kept in {cache_folder()}"
    notice = f"{name}: the first images of {y} x {x} take longest, because JAX makes a program for this size{kept}"
    timer = threading.Timer(2.0, lambda: print(notice, file=sys.stderr, flush=True))
    timer.start()

    def done(slices: int) -> None:
        timer.cancel()
        if sys.stderr.isatty():
            print(f"\r{name}: {slices} of {count} slices", end="\r" if slices == count else "", file=sys.stderr)

    try:
        yield done
    finally:
        timer.cancel()


def _matches(pattern: str) -> list[Path]:
    """List the files of a pattern; BART's files may be named without a suffix."""
    return [Path(pattern)] if Path(f"{pattern}.hdr").is_file() else list_files(pattern)


def _line(row: dict[str, str | float]) -> str:
    cells = [f"{row['PSNR']:.2f} dB, SSIM {row['SSIM']:.3f}"] if "PSNR" in row else []
    cells += [f"{row['evaluations']:.1f} evaluations", f"{row['converged']} converged"]
    return f"{row['method']:<16}{', '.join(cells)}"
