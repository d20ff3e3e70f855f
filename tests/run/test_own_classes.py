"""A map, a solver and an objective from a file of the user train and evaluate, and no model folder may import them."""

import pytest
from commands import refusal, succeed

import deqjax as dj

MODULE = '''
"""My method."""

from dataclasses import dataclass

import jax.numpy as jnp

import deqjax as dj
from deqjax.maps.parameters import apply_net, init_net
from deqjax.types import MapArgs, Net


@dataclass(frozen=True)
class Averaged:
    """A gradient step on the data, averaged with a denoised image."""

    net: Net
    weight: float = 0.5

    def init(self, key):
        return init_net(self.net, key)

    def start(self, args: MapArgs):
        return args.zero_filled

    def __call__(self, image, args: MapArgs):
        moved = image - (args.A.normal(image) - args.zero_filled)
        return self.weight * moved + (1 - self.weight) * apply_net(self.net, args.params, moved)

    def image(self, state):
        return state


@dataclass(frozen=True)
class Damped:
    """Half a step at a time."""

    max_steps: int = 6
    rtol: float = 1e-3

    def init(self, x):
        return ()

    def update(self, x, fx, step, state):
        return (x + fx) / 2, state


@dataclass(frozen=True)
class Halved:
    """Half of the supervised objective."""

    def bind(self, problem):
        supervised = dj.objectives.Supervised().bind(problem)

        def objective(*args):
            value, metrics = supervised(*args)
            return value / 2, metrics | {"twice": value}

        return objective
'''

CONFIG = """
title = "own classes"

[mask]
type = "CartesianRandom"
acceleration = 2
center_fraction = 0.2

[map]
type = "my_method_of_a_test:Averaged"
net = { type = "DnCNN", layers = 2, features = 4 }

[solver]
type = "my_method_of_a_test:Damped"

[run]
validation_slices = 1

[[phase]]
name = "train"
objective = { type = "my_method_of_a_test:Halved" }
steps = 2
batch_size = 1
"""


@pytest.mark.slow
def test_own_classes_train_and_evaluate(tmp_path, monkeypatch, capsys):
    (tmp_path / "my_method_of_a_test.py").write_text(MODULE)
    (tmp_path / "my.toml").write_text(CONFIG)
    files = dj.data.write_phantoms(tmp_path / "files", 1, (2, 32, 32))
    run, other = tmp_path / "run", tmp_path / "other"
    succeed("train", [str(tmp_path / "my.toml"), f"--data.train={files[0]}", f"--data.val={files[0]}", f"--out={run}"])
    assert '"twice"' in (run / "log.jsonl").read_text()
    assert (run / "evaluation" / "index.html").exists()

    with pytest.raises(ValueError, match="trust_code=True"):
        dj.load(run / "model")
    assert "--trust-code" in refusal("evaluate", [str(run / "model"), f"--out={other}"])
    assert not other.exists()
    monkeypatch.chdir(tmp_path)
    recon, params = dj.load(run / "model", trust_code=True)
    assert type(recon.map).__name__ == "Averaged"
    assert list(params) == ["map"]
    succeed("evaluate", [str(run / "model"), f"--out={other}", "--trust-code"])
    page = (other / "index.html").read_text()
    assert "--trust-code" in page
    assert (other / "volumes.csv").read_text() == (run / "evaluation" / "volumes.csv").read_text()
