"""A tiny experiment, its files, and one finished run of it that several tests look at."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TINY = """
title = "tiny"

[data]
noise = [0.0, 0.05]

[data.augment]
flips = true

[mask]
type = "CartesianRandom"
acceleration = 2
center_fraction = 0.2

[map]
type = "HalfQuadratic"
learn_penalty = true

[map.net]
type = "DnCNN"
layers = 2
features = 4

[solver]
type = "Picard"
max_steps = 4

[adjoint]
type = "Phantom"
steps = 2

[inference]
type = "Anderson"
max_steps = 10

[run]
spectral_bound = 0.9
validate_every = 4
validation_slices = 2
checkpoint_every = 1

[[phase]]
name = "pretrain"
objective = { type = "Denoising" }
steps = 4
batch_size = 2
learning_rate = 1e-2

[[phase]]
name = "train"
objective = { type = "Supervised" }
steps = 6
batch_size = 2
learning_rate = 1e-2
"""


@pytest.fixture(scope="session")
def experiment(tmp_path_factory):
    """``experiment(out, *overrides)``: the arguments of train.py for the tiny experiment."""
    from deqjax.data import write_phantoms

    folder = tmp_path_factory.mktemp("experiment")
    (folder / "tiny.toml").write_text(TINY)
    write_phantoms(folder / "train", 2, (3, 32, 32), seed=0)
    write_phantoms(folder / "val", 2, (2, 32, 32), seed=1)

    def arguments(out, *overrides):
        files = [f"--data.train={folder / 'train'}", f"--data.val={folder / 'val'}"]
        return [str(folder / "tiny.toml"), f"--out={out}", *files, *overrides]

    return arguments


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """``run(*arguments)``: run a script in a process of its own; these processes share what they compile."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder  # the workers share it too
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }

    def start(*arguments, code=0):
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == code, done.stderr[-3000:]
        return done

    return start


@pytest.fixture(scope="session")
def finished(run, experiment, tmp_path_factory):
    """The folder of a run that nothing interrupted; nobody writes there."""
    out = tmp_path_factory.mktemp("finished") / "run"
    run("train.py", *experiment(out))
    return out


@pytest.fixture
def contents():
    """``contents(folder)``: every file below a folder, with its bytes."""
    return lambda folder: {path: path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}
