"""The dependency rule of the package: who may import whom, read from the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import deqjax

ROOT = Path(deqjax.__file__).parent
LAYERS = [
    {"types", "pytree", "atomic_write", "nifti_files"},
    {"physics", "masks", "nets", "priors", "maps", "solvers", "metrics", "losses"},
    {"implicit", "data", "normalisation", "jacobian_penalty"},
    {"reconstruct", "toml_settings"},
    {"training", "report", "config"},
    {"model_folders"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
# The only imports between neighbours of one layer.
BESIDE = {("nifti_files", "atomic_write"), ("losses", "metrics"), ("training", "config")}
REGISTRATION = {"types", "pytree", "atomic_write", "nifti_files", "solvers", "implicit", "losses"}
THIRD_PARTY = {"flax": {"nets", "registration"}, "optax": {"training", "registration"}, "orbax": {"training"}}


def imports() -> Iterator[tuple[str, str, str]]:
    """The part of the package a file belongs to, what it imports (absolute), and where."""
    for path in sorted(ROOT.rglob("*.py")):
        part = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{path.relative_to(ROOT.parent)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                yield from ((part, alias.name, where) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{where} imports relatively; write deqjax.{node.module}"
                bare = node.module == "deqjax"
                yield from ((part, f"deqjax.{a.name}" if bare else str(node.module), where) for a in node.names)


def allowed(part: str, target: str) -> bool:
    if part == target or part == "__init__":
        return True
    if "registration" in (part, target):
        return part == "registration" and target in REGISTRATION
    return LEVEL.get(target, 99) < LEVEL.get(part, 99) or (part, target) in BESIDE


def test_every_import_points_downwards() -> None:
    ours = [(part, name.split(".")[1], where) for part, name, where in imports() if name.startswith("deqjax.")]
    assert len(ours) > 50
    wrong = {f"{where}: {part} imports {target}" for part, target, where in ours if not allowed(part, target)}
    assert not wrong, "\n".join(sorted(wrong))


def test_only_their_folders_import_flax_optax_and_orbax() -> None:
    found = [(part, name.split(".")[0], where) for part, name, where in imports()]
    wrong = [where for part, name, where in found if name in THIRD_PARTY and part not in THIRD_PARTY[name]]
    assert not wrong, wrong


def test_every_part_has_a_place_in_the_rule() -> None:
    parts = {path.name.removesuffix(".py") for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert parts - set(LEVEL) - {"__init__", "__pycache__", "py.typed", "registration", "shipped"} == set()
