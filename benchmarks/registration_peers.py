"""Compare deqjax with elastix and ANTs on the registration cases.

    python benchmarks/registration_peers.py GENERATOR [CASE ...]

GENERATOR is a file with ``load_case(name)`` and ``evaluate(case, phi)``. The programs that are installed run one after
another: elastix (``pip install itk-elastix``) with its affine and B-spline parameter files, normalised correlation and
the same spacing of control points as deqjax, and ANTs (``pip install antspyx``) with SyN and cross-correlation. The
table has the mean error in mm, the folding, the seconds and the CPU seconds. Of deqjax, the second of two runs counts,
without compilation; of the others, the first run counts, after their libraries have been loaded.
"""

import argparse
import importlib.util
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
from registration_cases import CASES, Case, Stage, load_generator, measured, run
from rich.console import Console
from rich.table import Table


def with_deqjax(case: Case, stages: list[Stage]) -> np.ndarray:
    return np.asarray(run(case, stages))


def with_elastix(case: Case, stages: list[Stage]) -> np.ndarray:
    """Run affine and B-spline registration of elastix. ITK reverses the order of the axes and of vector components."""
    import itk

    def image(array: np.ndarray) -> Any:
        result = itk.image_from_array(np.ascontiguousarray(array, np.float32))
        result.SetSpacing([float(mm) for mm in case["spacing"][::-1]])
        return result

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
    return voxel_points(case) + np.moveaxis(field[..., ::-1], -1, 0)


def with_ants(case: Case, stages: list[Stage]) -> np.ndarray:
    """Run SyN with cross-correlation of ANTs, or its affine registration if no stage is a deformation."""
    import ants

    spacing = [float(mm) for mm in case["spacing"]]
    image = lambda side: ants.from_numpy(np.asarray(case[side], np.float32), spacing=spacing)
    fixed, moving = image("fixed"), image("moving")
    kind = "SyNCC" if any("regularizer" in stage for stage in stages) else "Affine"
    found = ants.registration(fixed, moving, type_of_transform=kind)
    with tempfile.TemporaryDirectory() as folder:
        composed = ants.apply_transforms(fixed, moving, found["fwdtransforms"], compose=f"{folder}/all")
        field = ants.image_read(composed).numpy()
    return voxel_points(case) + np.moveaxis(field, -1, 0)


def voxel_points(case: Case) -> np.ndarray:
    """Return the voxel centres, (d, *shape), in mm."""
    axes = [np.arange(size) * mm for size, mm in zip(case["fixed"].shape, case["spacing"])]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def installed_programs() -> dict[str, Callable[[Case, list[Stage]], np.ndarray]]:
    """Return the installed programs. ITK loads a part of its library when it is first used, which happens here."""
    programs: dict[str, Callable[[Case, list[Stage]], np.ndarray]] = {"deqjax": with_deqjax}
    if importlib.util.find_spec("itk"):
        import itk

        _ = itk.elastix_registration_method, itk.ParameterObject
        programs["elastix"] = with_elastix
    if importlib.util.find_spec("ants"):
        import ants  # noqa: F401

        programs["ANTs"] = with_ants
    return programs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generator")
    parser.add_argument("cases", nargs="*", help=f"names of cases; all by default: {', '.join(CASES)}")
    options = parser.parse_args()
    cases = load_generator(options.generator)
    table = Table("case", "program", "mean error (mm)", "95 %", "folded", "seconds", "CPU seconds")
    for name in options.cases or CASES:
        case, stages = cases.load_case(CASES[name][0]), CASES[name][1]
        with_deqjax(case, stages)
        for program, call in installed_programs().items():
            phi, seconds, cpu = measured(call, case, stages)
            found = cases.evaluate(case, phi)
            metrics = f"{found['tre_mean']:.4f}", f"{found['tre_p95']:.3f}", f"{found['fold_pct']:.2f} %"
            table.add_row(name, program, *metrics, f"{seconds:.1f}", f"{cpu:.1f}")
            print(
                name, program, *metrics, f"{cpu:.1f} CPU s", flush=True
            )  # ANTs can take long: print each result at once.
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
