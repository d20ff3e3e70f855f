"""Draw masks.png and write the table of sampling.md: the realised acceleration and side lobe of every pattern.

    python docs/make_masks.py

It takes about ten seconds on one core and needs the extra ``report`` (matplotlib).
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from deqjax import masks
from deqjax.types import Mask

HERE = Path(__file__).parent
SHAPE, SEEDS = (128, 128), 20
PATTERNS: dict[str, Mask] = {
    "CartesianRandom": masks.CartesianRandom(8, 0.04),
    "CartesianEquispaced": masks.CartesianEquispaced(8, 0.04),
    "CartesianEquispacedFraction": masks.CartesianEquispacedFraction(8, 0.04),
    "CartesianMagic": masks.CartesianMagic(8, 0.04),
    "CartesianMagicFraction": masks.CartesianMagicFraction(8, 0.04),
    "CartesianNormal": masks.CartesianNormal(8, 0.04),
    "Gaussian1D": masks.Gaussian1D(8, 0.04),
    "Gaussian2D": masks.Gaussian2D(8, 0.04),
    "PoissonDisc": masks.PoissonDisc(8, 0.04),
    "PoissonDisc, corners": masks.PoissonDisc(8, 0.04, corners=True),
    "Radial": masks.Radial(8, 0.04),
    "Radial, uniform": masks.Radial(8, 0.04, order="uniform"),
    "Spiral": masks.Spiral(8, 0.04),
    "Spiral, 4 interleaves, power 2": masks.Spiral(8, 0.04, interleaves=4, power=2.0),
    "PartialFourier": masks.PartialFourier(0.625),
    "PartialFourier of PoissonDisc": masks.PartialFourier(0.625, pattern=masks.PoissonDisc(5, 0.04)),
    "KtRandom": masks.KtRandom(8, 0.04, frames=32),
    "KtInterleaved": masks.KtInterleaved(8, 0.04, frames=32),
}


def draw_masks() -> None:
    """Draw one panel for each pattern: k-space (y, x), or the axes t and x of a cine."""
    figure, panels = plt.subplots(3, 6, figsize=(12, 7), layout="constrained")
    for (name, pattern), panel in zip(PATTERNS.items(), panels.flat):
        mask = pattern(SHAPE, 1)
        shown = np.repeat(mask[:, 0], 4, axis=0) if mask.ndim == 3 else np.broadcast_to(mask, SHAPE)
        panel.imshow(shown, cmap="gray", interpolation="nearest")
        panel.set_title(f"{name}\n{masks.realised_acceleration(mask):.2f}", fontsize=7)
        panel.set(xticks=[], yticks=[])
    figure.savefig(HERE / "masks.png", dpi=90)


def markdown_table() -> str:
    """Return the table: nominal and realised acceleration (mean and range) and mean side lobe over the seeds."""
    rows = ["| pattern | nominal | realised, mean (range) | side lobe, mean |", "|---|---|---|---|"]
    for name, pattern in PATTERNS.items():
        drawn = [pattern(SHAPE, seed) for seed in range(SEEDS)]
        realised = [masks.realised_acceleration(mask) for mask in drawn]
        lobe = np.mean([masks.incoherence(mask) for mask in drawn])
        acceleration = getattr(pattern, "acceleration", None)
        nominal = "1.6" if name == "PartialFourier" else f"{acceleration:g}" if acceleration else "5 and 1.6"
        spread = f"{np.mean(realised):.2f} ({min(realised):.2f} to {max(realised):.2f})"
        rows.append(f"| {name} | {nominal} | {spread} | {lobe:.2f} |")
    return "\n".join(rows)


def main() -> None:
    draw_masks()
    page = HERE / "sampling.md"
    before, _, rest = page.read_text().partition("<!-- table -->\n")
    _, _, after = rest.partition("<!-- end of table -->")
    page.write_text(f"{before}<!-- table -->\n{markdown_table()}\n<!-- end of table -->{after}")


if __name__ == "__main__":
    main()
