"""The registration cases beside elastix and ANTs: python benchmarks/registration_peers.py GENERATOR [CASE ...]

GENERATOR is a file with ``load_case(name)`` and ``evaluate(case, phi)``. Whoever is installed takes part, one after
another in one run: elastix (``pip install itk-elastix``) with its affine and B-spline parameter files, normalised
correlation and our spacing of control points, and ANTs (``pip install antspyx``) with SyN and cross-correlation.
Mean error in mm, folding, seconds and CPU seconds; of deqjax the second of two runs, compilation apart, of the others
the first, after their libraries have been loaded.
"""

import argparse
import importlib.util
import resource
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from registration_cases import CASES, run
from rich.console import Console
from rich.table import Table

Case = dict[str, Any]


def with_deqjax(case: Case, stages: list[dict]) -> np.ndarray:
    return np.asarray(run(case, stages))


def with_elastix(case: Case, stages: list[dict]) -> np.ndarray:
    """Affine and B-spline by elastix; ITK counts axes backwards, so that its vectors are turned around."""
    import itk

    def image(array: np.ndarray) -> Any:
        made = itk.image_from_array(np.ascontiguousarray(array, np.float32))
        made.SetSpacing([float(mm) for mm in case["spacing"][::-1]])
        return made

    fixed, moving = image(case["fixed"]), image(case["moving"])
    files = itk.ParameterObject.New()
    for stage in stages:
        free = hasattr(stage["transform"], "spacing")
        settings = files.GetDefaultParameterMap("bspline" if free else "affine", 4)
        settings["Metric"] = ["AdvancedNormalizedCorrelation"]
        settings["MaximumNumberOfIterations"] = ["500"]
        if free:
            settings["FinalGridSpacingInPhysicalUnits"] = [str(stage["transform"].spacing)]
        else:
            settings["AutomaticTransformInitialization"] = ["true"]
            settings["AutomaticTransformInitializationMethod"] = ["CenterOfGravity"]
        files.AddParameterMap(settings)
    _, found = itk.elastix_registration_method(fixed, moving, parameter_object=files, log_to_console=False)
    with tempfile.TemporaryDirectory() as folder:
        field = np.asarray(itk.transformix_deformation_field(moving, found, output_directory=folder))
    return points_of(case) + np.moveaxis(field[..., ::-1], -1, 0)


def with_ants(case: Case, stages: list[dict]) -> np.ndarray:
    """SyN with cross-correlation by ANTs, or its affine registration where no deformation is asked for."""
    import ants

    spacing = [float(mm) for mm in case["spacing"]]
    image = lambda side: ants.from_numpy(np.asarray(case[side], np.float32), spacing=spacing)
    fixed, moving = image("fixed"), image("moving")
    kind = "SyNCC" if any("regulariser" in stage for stage in stages) else "Affine"
    found = ants.registration(fixed, moving, type_of_transform=kind)
    with tempfile.TemporaryDirectory() as folder:
        composed = ants.apply_transforms(fixed, moving, found["fwdtransforms"], compose=f"{folder}/all")
        field = ants.image_read(composed).numpy()
    return points_of(case) + np.moveaxis(field, -1, 0)


def points_of(case: Case) -> np.ndarray:
    """The places of the voxels, (d, *shape), mm."""
    axes = [np.arange(size) * mm for size, mm in zip(case["fixed"].shape, case["spacing"])]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def participants() -> dict[str, Callable[[Case, list[dict]], np.ndarray]]:
    """Who is installed; ITK loads a part when it is first named."""
    found: dict[str, Callable[[Case, list[dict]], np.ndarray]] = {"deqjax": with_deqjax}
    if importlib.util.find_spec("itk"):
        import itk

        _ = itk.elastix_registration_method, itk.ParameterObject
        found["elastix"] = with_elastix
    if importlib.util.find_spec("ants"):
        import ants  # noqa: F401

        found["ANTs"] = with_ants
    return found


def measured(register: Callable, case: Case, stages: list[dict]) -> tuple[np.ndarray, float, float]:
    """What a registration gives, its seconds and its CPU seconds."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    found = register(case, stages)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    return found, seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generator")
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; all by default")
    options = parser.parse_args()
    spec = importlib.util.spec_from_file_location("cases", options.generator)
    assert spec is not None
    assert spec.loader is not None
    cases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cases)
    table = Table("case", "with", "mean error (mm)", "95 %", "folded", "seconds", "CPU seconds")
    for name in options.cases or CASES:
        case, stages = cases.load_case(CASES[name][0]), CASES[name][1]
        with_deqjax(case, stages)
        for side, register in participants().items():
            phi, seconds, cpu = measured(register, case, stages)
            found = cases.evaluate(case, phi)
            numbers = f"{found['tre_mean']:.4f}", f"{found['tre_p95']:.3f}", f"{found['fold_pct']:.2f} %"
            table.add_row(name, side, *numbers, f"{seconds:.1f}", f"{cpu:.1f}")
            print(name, side, *numbers, f"{cpu:.1f} CPU s", flush=True)  # ANTs can take long: nothing is lost
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
