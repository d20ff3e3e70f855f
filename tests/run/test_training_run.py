"""deqjax train: what a run leaves, and that a run that is killed ends like one that is not, bit for bit."""

import json
import math
import re
import shutil
import signal
from pathlib import Path

import jax
import numpy as np
import pytest
from commands import refusal, succeed

from deqjax import model_folders
from deqjax.config import read_config
from deqjax.data import write_phantoms
from deqjax.nets import norm_bounds
from deqjax.run import Run, evaluation
from deqjax.run.experiment import training_files, validation_files
from deqjax.training import Checkpoints, create_state, make_optimizer

KILLED = """
import os, signal, sys
from deqjax.run.cli import main
from deqjax.training import Checkpoints
last = int(sys.argv.pop(1))
save = Checkpoints.save
def save_and_die(self, state, score):
    save(self, state, score)  # goes on in the background
    if int(state.step) == last:
        os.kill(os.getpid(), signal.SIGKILL)
Checkpoints.save = save_and_die
main(["train", *sys.argv[1:]])
"""


def rows_of(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def params_of(folder):
    with np.load(folder / "params.npz") as file:
        return {name: file[name] for name in file.files}


def checkpoints_of(out):
    return sorted(int(path.name) for path in (out / "checkpoints").iterdir() if path.name.isdigit())


def newest(out, config):
    """The state of the newest checkpoint."""
    optimizer = make_optimizer(steps=1, learning_rate=1.0, final_learning_rate=1.0)
    params = model_folders.method_of(config).init(jax.random.key(0))
    with Checkpoints(out) as checkpoints:
        return checkpoints.restore(create_state(params, config.loss.init(), optimizer, config.run.spectral_bound > 0))


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_what_a_run_leaves(finished):
    assert {"config.toml", "log.jsonl", "checkpoints", "model", "evaluation"} <= {p.name for p in finished.iterdir()}
    assert any(path.name.startswith("events.out.tfevents") for path in finished.iterdir())
    assert not [path for path in finished.iterdir() if path.name.startswith(".")]
    config = read_config(finished / "config.toml")
    assert model_folders.load_config(finished / "model") == config
    assert (finished / "model" / "config.toml").read_text() == (finished / "config.toml").read_text()
    assert checkpoints_of(finished)[-2:] == [9, 10]
    state = newest(finished, config)
    assert int(state.step) == 10
    assert [int(leaf) for leaf in jax.tree.leaves(state.optimizer) if leaf.dtype == np.int32] == [6, 6]  # of this phase
    recon, params = model_folders.load(finished / "model")
    assert recon.solver == config.inference
    domain = model_folders.load_domain(finished / "model")
    assert domain is not None
    assert (domain.rows, domain.lines, domain.coils) == ((32, 32), (32, 32), (1, 1))
    assert max(norm_bounds(params["map"]).values()) <= 0.9 * (1 + 1e-6)
    text = (finished / "model" / "README.md").read_text()
    assert "# tiny" in text
    assert "deqjax train" in text
    assert "seed 0" in text
    assert "nan" not in text
    assert (finished / "evaluation" / "index.html").exists()


def test_the_log_has_each_step_once_with_its_numbers(finished):
    rows = rows_of(finished)
    assert [row["step"] for row in rows] == list(range(1, 11))
    for row in rows:
        assert {"loss", "gradient_norm", "parameter_norm"} <= row.keys()
        assert ("validation_psnr" in row) == (row["step"] in (4, 8, 10))
        assert ("forward_steps" in row) == (row["step"] > 4)
        assert ("backward_residual" in row) == (row["step"] > 4)
    assert all(math.isfinite(value) for row in rows for value in row.values())
    text = (finished / "model" / "README.md").read_text()
    assert f"Validation PSNR: {rows[-1]['validation_psnr']:.2f} dB" in text


@pytest.mark.slow
def test_a_run_that_is_killed_in_both_phases_ends_with_the_same_numbers(run, finished, experiment, tmp_path):
    """kill -9 in the pre-training, while a checkpoint is being written, again in the training, and then to the end."""
    out = tmp_path / "run"
    run("-c", KILLED, 3, *experiment(out), code=-signal.SIGKILL)
    assert not (out / "model").exists()
    assert max(checkpoints_of(out)) in (2, 3)
    run("-c", KILLED, 7, *experiment(out), code=-signal.SIGKILL)
    assert not (out / "model").exists()
    assert max(checkpoints_of(out)) in (6, 7)
    (out / "log.jsonl").open("a").write('{"step": 8, "lo')  # cut short
    done = run("train.py", *experiment(out))
    assert "page:" in done.stdout
    steps = [line for line in done.stdout.splitlines() if line.startswith("step ")]
    assert steps[0].startswith(("step 7/10", "step 8/10"))  # it went on, and did not start again
    assert done.stdout.startswith("phase train: compiling")
    assert "Traceback" not in done.stderr
    same(params_of(out / "model"), params_of(finished / "model"))
    rows, others = rows_of(out), rows_of(finished)
    assert [row["step"] for row in rows] == list(range(1, 11))
    without_time = lambda row: {name: value for name, value in row.items() if name != "time"}
    assert list(map(without_time, rows)) == list(map(without_time, others))
    assert (out / "evaluation" / "volumes.csv").read_text() == (finished / "evaluation" / "volumes.csv").read_text()


INTERRUPTED = """
import os, signal, sys
from deqjax.__main__ import run
from deqjax.report import TrainingLog
number = getattr(signal, sys.argv.pop(1))
record = TrainingLog.record
def record_and_interrupt(self, step, **metrics):
    record(self, step, **metrics)
    if step == 3:
        os.kill(os.getpid(), number)
TrainingLog.record = record_and_interrupt
run(["train", *sys.argv[1:]])
"""


@pytest.mark.parametrize("number", ["SIGINT", pytest.param("SIGTERM", marks=pytest.mark.slow)])
def test_an_interrupted_run_saves_its_step_and_says_how_to_go_on(run, experiment, tmp_path, number):
    """The signal comes after step 3, where no checkpoint is due."""
    out = tmp_path / "run"
    done = run("-c", INTERRUPTED, number, *experiment(out, "--run.checkpoint_every=100"), code=130)
    stopping, line = done.stderr.splitlines()
    assert stopping.startswith("stopping after the running step")
    assert line.startswith("interrupted; to go on, run again: deqjax train")
    assert checkpoints_of(out) in ([3], [4])
    assert len(rows_of(out)) == max(checkpoints_of(out))
    assert not (out / "model").exists()


WAITING = """
import os, signal, sys, threading
import deqjax.run.cli as cli
from deqjax.__main__ import run
number, moment = getattr(signal, sys.argv[1]), sys.argv[2]
def wait(_):
    threading.Thread(target=threading.Event().wait).start()  # keeps a normal end of the process from coming
    os.kill(os.getpid(), number)
    threading.Event().wait()
if moment == "import":
    sys.modules.pop("deqjax.run.cli")
    cli_of = type("Finder", (), {"find_spec": lambda self, name, *_: wait(name) if name == "deqjax.run.cli" else None})
    sys.meta_path.insert(0, cli_of())
cli.reconstruction_commands.evaluate_model = wait
run(["evaluate", "brain-small"])
"""


@pytest.mark.parametrize(
    ("number", "moment"), [pytest.param("SIGTERM", "evaluate", marks=pytest.mark.slow), ("SIGINT", "import")]
)
def test_an_interrupt_ends_every_command_at_any_moment_without_a_traceback(run, number, moment):
    done = run("-c", WAITING, number, moment, code=130)
    said = ["interrupted; to go on, run again: deqjax evaluate brain-small"] if moment == "evaluate" else []
    assert done.stderr.splitlines() == said


def test_a_finished_run_is_said_to_be_finished_and_left_alone(finished, experiment, tmp_path, contents, capsys):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    # the folder is part of the config
    (out / "config.toml").write_text((out / "config.toml").read_text().replace(str(finished), str(out)))
    before = {path: data for path, data in contents(out).items() if "tfevents" not in path.name}
    succeed("train", experiment(out))
    assert "all 10 steps are done" in capsys.readouterr().out
    after = {path: data for path, data in contents(out).items() if "tfevents" not in path.name}
    assert after == before


@pytest.mark.slow
def test_a_run_that_is_killed_after_its_last_step_is_finished(finished, experiment, tmp_path):
    """What kill -9 leaves behind in the final export and in the evaluation: half folders under other names."""
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    (out / "config.toml").write_text((out / "config.toml").read_text().replace(str(finished), str(out)))
    for name in ("model", "evaluation"):
        shutil.rmtree(out / name)
    (out / ".model.abcd").mkdir()
    (out / ".model.abcd" / "params.npz").write_bytes(b"half")
    (out / ".evaluation.partial").mkdir()
    (out / ".evaluation.partial" / "volumes.csv").write_text("half")
    (out / ".evaluation.partial" / "stale.png").write_text("half")
    succeed("train", experiment(out))
    same(params_of(out / "model"), params_of(finished / "model"))
    text = (out / "model" / "README.md").read_text()
    psnr = rows_of(finished)[-1]["validation_psnr"]
    assert f"Validation PSNR: {psnr:.2f} dB" in text
    names = {path.name for path in (out / "evaluation").iterdir()}
    assert names == {path.name for path in (finished / "evaluation").iterdir()}
    assert not (out / ".evaluation.partial").exists()


@pytest.mark.slow
def test_a_failed_evaluation_leaves_nothing_and_is_done_again(finished, experiment, tmp_path, monkeypatch):

    out = tmp_path / "run"
    shutil.copytree(finished, out)
    (out / "config.toml").write_text((out / "config.toml").read_text().replace(str(finished), str(out)))
    shutil.rmtree(out / "evaluation")

    def full(*_, **__):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "write_page", full)
        assert refusal("train", experiment(out)) == "no space left on device"
    assert not (out / "evaluation").exists()
    succeed("train", experiment(out))
    assert (out / "evaluation" / "index.html").exists()


def test_training_stops_at_the_first_number_that_is_not_finite(experiment, tmp_path):
    """The learning rate grows at the switch, so that good checkpoints come before the bad step."""
    out = tmp_path / "run"
    message = refusal("train", experiment(out, "phase.train.learning_rate=1e38", "run.spectral_bound=0"))
    assert re.match(r"step (5|6|7): the (loss|gradient norm|parameter norm) is (nan|inf)", message)
    steps = checkpoints_of(out)
    assert max(steps) in (4, 5, 6)
    assert max(steps) == max(row["step"] for row in rows_of(out))
    assert not (out / "model").exists()
    state = newest(out, read_config(out / "config.toml"))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


@pytest.mark.slow
def test_a_run_may_start_from_a_model(finished, experiment, tmp_path):
    """No steps at all: what is exported is where it started."""
    out = tmp_path / "run"
    succeed(
        "train", experiment(out, "phase.pretrain.steps=0", "phase.train.steps=0", f"run.init_from={finished / 'model'}")
    )
    same(params_of(out / "model"), params_of(finished / "model"))


@pytest.mark.slow
def test_what_goes_around_the_solve_is_learned_from_a_model_without_it(finished, experiment, tmp_path):
    """The net and the penalty are the model's; only what refines the coil maps, starts and finishes is fresh."""
    smaps = "smaps.net.type=DnCNN", "smaps.net.layers=2", "smaps.net.features=3"
    first = "start.type=UNet", "start.levels=2", "start.features=3"
    last = "finish.type=Gradient", "finish.net.type=DnCNN", "finish.net.layers=2", "finish.net.features=3"
    start = "phase.pretrain.steps=0", "phase.train.steps=0", f"run.init_from={finished / 'model'}"
    out, coils = tmp_path / "run", tmp_path / "coils"
    write_phantoms(coils, 1, (2, 32, 32), coils=2)
    succeed("train", [*experiment(out, *start, *smaps, *first, *last), f"--data.train={coils}", f"--data.val={coils}"])
    found = params_of(out / "model")
    given = params_of(finished / "model")
    same({name: found[name] for name in given}, given)
    assert {name.split("/")[0] for name in found.keys() - given.keys()} == {"smaps", "start", "finish"}
    assert found["smaps/gain"] == 0


@pytest.mark.slow
def test_a_run_goes_on_with_other_settings_in_a_new_folder(finished, experiment, tmp_path):
    """The checkpoint and the log are those of the old run, the further steps those of the new settings."""
    out, settings = tmp_path / "run", ["phase.train.steps=8", "phase.train.learning_rate=1e-3"]
    before = checkpoints_of(finished)
    succeed("train", [*experiment(out, *settings), f"--resume-from={finished}"])
    rows = rows_of(out)
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert rows[:10] == rows_of(finished)
    assert checkpoints_of(out)[-1] == 12
    assert checkpoints_of(finished) == before
    assert (out / "evaluation" / "index.html").exists()
    other = experiment(tmp_path / "other", *settings)
    assert "is not the folder of a run" in refusal("train", [*other, f"--resume-from={tmp_path}"])
    assert not (tmp_path / "other").exists()
    assert "another architecture" in refusal("train", [*other, "map.net.features=5", f"--resume-from={finished}"])


def test_two_processes_do_not_train_in_one_folder(tmp_path):
    run, other = Run(tmp_path / "run", "config"), Run(tmp_path / "run", "config")
    with run.open(), pytest.raises(ValueError, match="another process trains in this folder"), other.open():
        pass
    with other.open() as checkpoints:  # the folder is free again
        assert checkpoints.latest is None


def test_a_range_of_the_training_files(tmp_path):
    files = write_phantoms(tmp_path, 3, (1, 16, 16))
    read = lambda value: read_config(
        Path(__file__).parents[2] / "configs" / "quickstart.toml", [f"data.train={tmp_path}", f"data.files={value}"]
    )
    assert training_files(read("[1, 1000]")) == files[1:]
    assert training_files(read("[0, 1]")) == files[:1]
    with pytest.raises(ValueError, match=r"data.files is \[3, 9\], and there are 3 training files"):
        training_files(read("[3, 9]"))


def test_experiments_on_other_embedded_data_do_not_meet(tmp_path):
    """make quickstart, and then another config without files: each finds its own, and finds it again."""
    read = lambda *settings: read_config(
        Path(__file__).parents[2] / "configs" / "quickstart.toml",
        [f"data.phantoms.folder={tmp_path}", *(f"data.phantoms.{text}" for text in ("train=1", "val=1", *settings))],
    )
    one, other = read("shape=[1, 16, 16]"), read("shape=[2, 16, 16]", "coils=1", "noise=0.0")
    files = [training_files(config) + validation_files(config) for config in (one, other, one)]
    assert files[0] == files[2]
    assert len({*files[0], *files[1]}) == 4


@pytest.mark.parametrize("steps", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_classical_map_learns_its_one_weight_or_is_evaluated_as_it_is(experiment, tmp_path, steps):
    """configs/baselines/total_variation.toml in small: no net, so no pre-training and no norms on its card."""
    config = tmp_path / "tv.toml"
    config.write_text(
        'title = "tv"\n[mask]\ntype = "CartesianRandom"\nacceleration = 2\ncenter_fraction = 0.2\n'
        '[map]\ntype = "PrimalDual"\nweight = 0.01\nlearn_weight = true\n[map.prior]\ntype = "TotalVariation"\n'
        '[solver]\ntype = "Anderson"\nmax_steps = 20\n[adjoint]\ntype = "Implicit"\nnan_above = inf\n'
        '[adjoint.solver]\ntype = "Anderson"\nmax_steps = 10\n'
        "[train]\nbatch_size = 2\nlearning_rate = 0.1\nvalidation_slices = 2\n"
    )
    out = tmp_path / "run"
    succeed("train", [str(config), *experiment(out, f"--train.steps={steps}")[1:]])
    weight = np.exp(float(params_of(out / "model")["map/log_weight"]))
    assert (abs(weight - 0.01) < 1e-6) == (steps == 0)
    card = (out / "model" / "README.md").read_text()
    assert "Parameters: 1\n" in card
    assert (out / "evaluation" / "index.html").exists()
