"""Write golden.json: the masks of fastMRI's code and of the reference paper's code for fixed seeds.

Run once, by hand, in an environment that has ``fastmri`` (0.3.0 was used) and torch:

    python tests/masks/make_golden.py singlecoil_mri.py

The argument is ``operators/singlecoil_mri.py`` of the code of Gilton, Ongie, Willett (2021). The test that reads
golden.json needs neither package.
"""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

WIDTHS = (368, 321, 45)
SETTINGS = (((4,), (0.08,)), ((8,), (0.04,)), ((4, 8), (0.08, 0.04)))
SEEDS = ("file1000031.h5", "file_brain_AXT2_200_2000019.h5", 0, 123, (7, 0, 3))
PATTERNS = {
    "CartesianRandom": "RandomMaskFunc",
    "CartesianEquispaced": "EquiSpacedMaskFunc",
    "CartesianEquispacedFraction": "EquispacedMaskFractionFunc",
    "CartesianMagic": "MagicMaskFunc",
    "CartesianMagicFraction": "MagicMaskFractionFunc",
}


def load(path: str | Path) -> Any:
    """Load one module by its path, without its package."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def case(pattern: str, settings: tuple[Any, Any], width: int, seed: Any, mask: Any) -> list[Any]:
    """Return one row; the bits of the mask are packed eight to a byte and written in hexadecimal."""
    bits = np.packbits(np.asarray(mask).ravel().astype(bool)).tobytes().hex()
    return [pattern, settings[0], settings[1], width, seed, bits]


def main(reference_path: str) -> None:
    found = importlib.util.find_spec("fastmri")
    assert found is not None
    assert found.submodule_search_locations is not None
    subsample, reference = (
        load(Path(found.submodule_search_locations[0]) / "data" / "subsample.py"),
        load(reference_path),
    )
    rows = []
    for settings in SETTINGS:
        for width in WIDTHS:
            for seed in SEEDS:
                integers: Any = tuple(map(ord, seed)) if isinstance(seed, str) else seed
                for ours, theirs in PATTERNS.items():
                    mask_function = getattr(subsample, theirs)(center_fractions=settings[1], accelerations=settings[0])
                    mask, _ = mask_function((1, 10, width, 2), seed=integers)
                    rows.append(case(ours, settings, width, seed, mask))
                if len(settings[0]) == 1:
                    mask = reference.create_mask((10, width, 2), settings[1][0], settings[0][0], seed=integers)
                    rows.append(case("CartesianNormal", settings, width, seed, mask))
    text = "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"
    Path(__file__).with_name("golden.json").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
