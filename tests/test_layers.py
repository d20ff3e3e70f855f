"""The structure of the package, read from its source: layers, private names, names of modules, sizes of files."""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import deqjax

ROOT = Path(deqjax.__file__).parent
LAYERS = [
    {"types", "pytree", "scaling", "atomic_write", "file_checks", "nifti_files"},
    {"physics", "masks", "nets", "priors", "maps", "solvers", "metrics", "losses"},
    {"gradient_error", "anytime"},
    {"adjoints"},
    {"implicit", "data", "normalisation", "jacobian_penalty", "distance"},
    {"domain", "input_checks"},
    {"reconstruct"},
    {"objectives", "certificates", "classical_methods"},
    {"config", "training", "report", "motion_correction"},
    {"uncertainty"},
    {"model_folders"},
    {"reconstruction"},
    {"run"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
BESIDE = {("losses", "metrics"), ("nifti_files", "atomic_write"), ("nifti_files", "file_checks")}
"""Who may import a part of its own layer; nobody else does."""

REGISTRATION = {"types", "pytree", "scaling", "atomic_write", "nifti_files", "solvers", "implicit", "losses"}
REGISTRATION |= {"config", "model_folders"}  # to read trained networks
JOINT = {"run", "objectives"}  # what reconstructs and registers
THIRD_PARTY = {"flax": {"nets", "registration"}, "optax": {"training", "registration", "run"}, "orbax": {"training"}}
LONGEST = 400


def sources() -> Iterator[tuple[Path, ast.Module]]:
    """Every file of the package with its syntax tree."""
    for path in sorted(ROOT.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def part_of(path: Path) -> str:
    """The folder or module of the package's top level to which a file belongs."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports() -> Iterator[tuple[str, str, str, str]]:
    """The part of the package, the module and the name that it imports, and where."""
    for path, tree in sources():
        for node in ast.walk(tree):
            where = f"{path.relative_to(ROOT.parent)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                yield from ((part_of(path), alias.name, "", where) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{where} imports relatively; write deqjax.{node.module}"
                for alias in node.names:
                    module = f"deqjax.{alias.name}" if node.module == "deqjax" else str(node.module)
                    yield part_of(path), module, alias.name, where


def allowed(part: str, target: str) -> bool:
    if part in (target, "__init__"):
        return True
    if "registration" in (part, target):
        return part in JOINT if target == "registration" else target in REGISTRATION
    return LEVEL.get(target, 99) < LEVEL.get(part, 99) or (part, target) in BESIDE


def test_every_import_points_downwards() -> None:
    ours = [(part, name.split(".")[1], where) for part, name, _, where in imports() if name.startswith("deqjax.")]
    assert len(ours) > 50
    wrong = {f"{where}: {part} imports {target}" for part, target, where in ours if not allowed(part, target)}
    assert not wrong, "\n".join(sorted(wrong))


def test_only_their_folders_import_flax_optax_and_orbax() -> None:
    found = [(part, name.split(".")[0], where) for part, name, _, where in imports()]
    wrong = [where for part, name, where in found if name in THIRD_PARTY and part not in THIRD_PARTY[name]]
    assert not wrong, wrong


def test_every_part_has_a_place_in_the_rule() -> None:
    parts = {path.name.removesuffix(".py") for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert parts - set(LEVEL) == {"__init__", "__pycache__", "py.typed", "registration", "shipped"} & parts


def test_no_part_imports_a_private_name_of_another() -> None:
    private = [
        f"{where}: {module}.{name}"
        for part, module, name, where in imports()
        if module.startswith("deqjax.") and module.split(".")[1] != part
        if name.startswith("_") or any(piece.startswith("_") for piece in module.split("."))
    ]
    assert not private, "\n".join(private)


def test_no_function_or_class_has_the_name_of_a_module_beside_it() -> None:
    """``import deqjax.reconstruct as m`` gives the module: no package exports another object under its name."""
    modules = [
        info.name for info in pkgutil.walk_packages([str(ROOT)], "deqjax.") if not info.name.endswith("__main__")
    ]
    assert len(modules) > 100
    hidden = []
    for name in modules:
        package, _, child = name.rpartition(".")
        module = importlib.import_module(name)
        if getattr(importlib.import_module(package), child) is not module:
            hidden.append(name)
    assert not hidden, hidden


def test_no_file_is_too_long_or_named_after_nothing() -> None:
    long = {str(path): len(path.read_text().splitlines()) for path, _ in sources()}
    assert not {path: lines for path, lines in long.items() if lines > LONGEST}
    vague = {"utils", "util", "helpers", "helper", "common", "base", "misc"}
    assert not [path for path, _ in sources() if path.stem in vague]
