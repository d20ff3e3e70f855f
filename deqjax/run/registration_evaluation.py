"""The evaluation of a registration network on held-out pairs of images."""

import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.atomic_write import atomic_folder
from deqjax.registration import similarities, warp
from deqjax.registration.grid import Grid
from deqjax.registration.measures import folded_fraction, volume_change
from deqjax.registration.pictures import save_picture
from deqjax.registration.types import Network
from deqjax.report import Html, code, html_table, metrics_table, picture, write_csv, write_page
from deqjax.types import Params

PICTURES = 4
"""The number of pairs of which the page shows pictures."""


def _held_out_pairs(count: int) -> list[tuple[int, int]]:
    """Pair every image with the next one."""
    return [(fixed, (fixed + 1) % count) for fixed in range(count)]


def _ncc(fixed: Any, moving: Any, grid: Grid) -> float:
    return 1 - float(similarities.NCC()(fixed, moving, jnp.ones(grid.shape), grid))


def mean_ncc(network: Network, params: Params, images: np.ndarray, grid: Grid) -> float:
    """Return the mean normalised cross-correlation of held-out pairs after registration."""
    values = []
    for fixed, moving in _held_out_pairs(len(images)):
        one, other = jnp.asarray(images[fixed]), jnp.asarray(images[moving])
        found = jax.jit(network.apply)(params["network"], one, other, grid)
        values.append(_ncc(one, warp(other, found, grid, grid), grid))
    return float(np.mean(values))


def evaluate_network(
    network: Network,
    params: Params,
    images: np.ndarray,
    grid: Grid,
    out: Path,
    title: str,
    config: str,
    command: str,
) -> None:
    """Register the held-out pairs of an experiment; print a table, and write it with pictures and a page to a folder.

    Args:
      network: the network.
      params: its parameters.
      images: the held-out images, (n, *grid.shape).
      grid: the grid of all images.
      out: the folder for the results, which must not exist or be empty. It appears complete or not at all.
      title: title of the table and of the page.
      config: text of the config, for the page.
      command: the command line that gives these results, for the page.

    Raises:
      ValueError: the folder holds anything.
    """
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out}: holds other results; choose another --out")
    apply, rows = jax.jit(network.apply), []
    with atomic_folder(out) as temporary:
        for number, (fixed, moving) in enumerate(_held_out_pairs(len(images))):
            one, other = jnp.asarray(images[fixed]), jnp.asarray(images[moving])
            started = time.perf_counter()
            found = jax.block_until_ready(apply(params["network"], one, other, grid))
            seconds = time.perf_counter() - started
            warped = warp(other, found, grid, grid)
            volume = volume_change(found.displacement(grid), grid)
            rows.append(
                {
                    "pair": f"{fixed} {moving}",
                    "NCC before": _ncc(one, other, grid),
                    "NCC": _ncc(one, warped, grid),
                    "folded %": 100 * float(folded_fraction(volume, jnp.ones(grid.shape, bool))),
                    "seconds": seconds,
                }
            )
            if number < PICTURES:
                save_picture(temporary / f"pair-{fixed}-{moving}.png", one, warped, found, grid)
        metrics_table(rows, title)
        write_csv(temporary / "pairs.csv", rows)
        pictures = [picture(path, path.stem) for path in sorted(temporary.glob("*.png"))]
        page: list[tuple[str, list[Html | str]]] = [
            ("Pairs", [html_table(rows), "Held-out pairs; the first pair includes the time of compilation."]),
            ("Pictures", [*pictures]),
            ("How to reproduce this page", [code(command), code(config)]),
        ]
        write_page(temporary / "index.html", title, page)
    print(f"page: {out / 'index.html'}")
