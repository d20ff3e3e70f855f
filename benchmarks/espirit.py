"""ESPIRiT beside sigpy and BART, as a Markdown table: python benchmarks/espirit.py [FILE.h5 ...] [--lines 8 12 24]

All three estimate one set of maps from the same central square of k-space, with the default settings of each for
everything but the size of that square. The cases are the first slice of every file, and phantoms of SIZE x COILS. The
object is where the root sum of squares of the coil images is above a tenth of its maximum. Columns:

* coverage: the fraction of the object on which there are maps.
* angle: the median over the object of the angle between two sets of maps at a pixel, in degrees, where both have maps.
* largest rss: the largest root sum of squares of the maps over the coils, which should be 1.
* CPU: processor seconds of one call; the second call of deqjax and of sigpy, because the first one compiles.

BART is Debian's package `bart`; without it, or without sigpy, their columns hold "-".
"""

import argparse
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np

import deqjax as dj

try:
    import sigpy.mri
except ImportError:
    sigpy = None


def cases(files: list[Path], phantoms: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Name and k-space (coil, y, x) of every case."""
    for file in files:
        yield file.stem, np.asarray(dj.data.read_volume(file, (0, 0)).kspace[0])
    for phantom in phantoms:
        size, coils = (int(number) for number in phantom.split("x"))
        images = dj.data.birdcage_maps(coils, (size, size)) * dj.data.phantom_image(0, (1, size, size))[0]
        yield "phantom", np.asarray(dj.physics.fft2c(jnp.asarray(images)))


def central_square(shape: tuple[int, int], lines: int) -> np.ndarray:
    """A mask (y, x) of the central square."""
    inside = [np.abs(np.arange(size) - size // 2 + (1 - lines % 2) / 2) < lines / 2 for size in shape]
    return np.outer(*inside).astype(np.float32)


def by_deqjax(kspace: np.ndarray, lines: int) -> np.ndarray:
    """The maps of deqjax."""
    return np.asarray(dj.physics.espirit(jnp.asarray(kspace), mask=central_square(kspace.shape[-2:], lines)))


def by_sigpy(kspace: np.ndarray, lines: int) -> np.ndarray | None:
    """The maps of sigpy."""
    if sigpy is None:
        return None
    scaled = kspace / np.abs(kspace).max()
    return sigpy.mri.app.EspiritCalib(scaled, calib_width=lines, show_pbar=False).run()


def by_bart(kspace: np.ndarray, lines: int) -> np.ndarray | None:
    """The maps of BART, whose axes are (y, x, 1, coil) in column-major order."""
    if shutil.which("bart") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        array = np.moveaxis(kspace, 0, -1)[:, :, None].astype(np.complex64)
        Path(folder, "kspace.hdr").write_text("# Dimensions\n" + " ".join(str(n) for n in (*array.shape, 1)) + "\n")
        array.ravel(order="F").tofile(Path(folder, "kspace.cfl"))
        command = ["bart", "ecalib", "-m1", "-r", str(lines), f"{folder}/kspace", f"{folder}/smaps"]
        subprocess.run(command, check=True, capture_output=True)
        smaps = np.fromfile(Path(folder, "smaps.cfl"), np.complex64).reshape(array.shape, order="F")
    return np.moveaxis(smaps[:, :, 0], -1, 0)


def processor_seconds(work: Callable[[], np.ndarray | None]) -> tuple[np.ndarray | None, float]:
    """The result of the work and its processor time, that of child processes included."""
    clock = lambda: time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    start = clock()
    return work(), clock() - start


def angle(one: np.ndarray, other: np.ndarray | None, is_object: np.ndarray) -> str:
    """The median angle between two sets of maps (coil, y, x), in degrees."""
    if other is None:
        return "-"
    both = is_object & (np.abs(one).sum(axis=0) > 0) & (np.abs(other).sum(axis=0) > 0)
    if not both.any():
        return "no maps"
    one, other = (maps[:, both] / np.linalg.norm(maps[:, both], axis=0) for maps in (one, other))
    aligned = other * np.exp(1j * np.angle(np.sum(other.conj() * one, axis=0)))
    return f"{np.degrees(np.median(2 * np.arcsin(np.minimum(np.linalg.norm(one - aligned, axis=0) / 2, 1)))):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="fully sampled multi-coil files")
    parser.add_argument("--phantoms", nargs="*", default=["96x4", "128x8", "320x8"], metavar="SIZExCOILS")
    parser.add_argument("--lines", nargs="+", type=int, default=[8, 12, 24], help="the side of the central square")
    options = parser.parse_args()
    columns = "case, coils, size, lines, coverage of deqjax / sigpy / BART, angle to sigpy / BART, largest rss, CPU (s)"
    print(f"| {columns.replace(', ', ' | ')} |\n{'|---' * 8}|")
    for name, kspace in cases(options.files, options.phantoms):
        combined = np.linalg.norm(np.asarray(dj.physics.ifft2c(jnp.asarray(kspace))), axis=0)
        is_object = combined > 0.1 * combined.max()
        for lines in options.lines:
            ours = by_deqjax(kspace, lines)
            by_sigpy(kspace, lines)
            found = [processor_seconds(partial(by, kspace, lines)) for by in (by_deqjax, by_sigpy, by_bart)]
            sizes = [None if maps is None else np.linalg.norm(maps, axis=0) for maps, _ in found]
            row = [
                name,
                str(len(kspace)),
                " x ".join(str(n) for n in combined.shape),
                str(lines),
                " / ".join("-" if rss is None else f"{(rss > 0)[is_object].mean():.1%}" for rss in sizes),
                " / ".join(angle(ours, maps, is_object) for maps, _ in found[1:]),
                " / ".join("-" if rss is None else f"{rss.max():.4f}" for rss in sizes),
                " / ".join("-" if maps is None else f"{seconds:.1f}" for maps, seconds in found),
            ]
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
