"""The example of docs/extending.md: its module, its config and its Python lines train and load a model."""

import re
import sys
from pathlib import Path

import pytest

from deqjax.run.cli import main

TEXT = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
TINY = [
    "--data.phantoms.train=1",
    "--data.phantoms.val=1",
    "--data.phantoms.shape=[1, 32, 32]",
    "--map.net.type=DnCNN",
    "--map.net.layers=2",
    "--map.net.features=4",
    "--solver.max_steps=3",
    "--adjoint.solver.type=Picard",
    "--adjoint.solver.max_steps=3",
    "--inference.max_steps=4",
    "--phase.pretrain.steps=1",
    "--phase.train.steps=1",
    "--phase.train.objective.jacobian.power_steps=1",
]


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_example_trains_and_evaluates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (config,), (module, python) = blocks("toml"), blocks("python")
    (tmp_path / "my_method.py").write_text(module, encoding="utf-8")
    (tmp_path / "my_method.toml").write_text(config, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "my_method", raising=False)
    assert main(["train", "my_method.toml", *TINY]) == 0
    assert main(["evaluate", "runs/my_method/model", "--out=results"]) == 1
    assert main(["evaluate", "runs/my_method/model", "--trust-code", "--inference.momentum=0.2", "--out=results"]) == 0
    assert (tmp_path / "results" / "index.html").is_file()
    changes = re.escape('["--phase.train.steps=5"]')
    namespace: dict = {}
    exec(re.sub(changes, repr([*TINY, "phase.pretrain.steps=0"]), python), namespace)
    assert type(namespace["recon"].map).__name__ == "DenoiseAndReplace"
    assert len(namespace["fitted"].history) == 1
    sys.modules.pop("my_method", None)
