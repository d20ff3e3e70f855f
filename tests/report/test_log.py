"""The training log: the same metrics as JSON, in TensorBoard and on the terminal, also after a crash."""

import io
import json
import struct

import jax.numpy as jnp
import pytest
from rich.console import Console
from tensorboardX.proto.event_pb2 import Event

from deqjax.report import TrainingLog, read_log

METRICS = {"forward_steps": 12.25, "forward_residual": 1e-4, "backward_steps": 8.0, "backward_residual": 2e-3}


def _console(terminal=False):
    return Console(file=io.StringIO(), width=120, force_terminal=terminal)


def _run(folder, steps, total=10, console=None, **settings):
    with TrainingLog(folder, total, console=console or _console(), **settings) as log:
        for step in steps:
            log.record(step, loss=jnp.float32(1 / step), validation_psnr=31.5 if step == 4 else None, **METRICS)


def _events(data):
    while data:
        (length,) = struct.unpack_from("<Q", data)  # a record is its length, a checksum, the event, a checksum
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


def test_rows_are_json_lines_of_scalars(tmp_path):
    _run(tmp_path / "run", range(1, 5))
    rows = read_log(tmp_path / "run" / "log.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert [row["loss"] for row in rows] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])
    assert "validation_psnr" not in rows[0]
    assert rows[3]["validation_psnr"] == 31.5
    assert all(row.items() >= METRICS.items() for row in rows)


def test_tensorboard_has_the_same_metrics(tmp_path):
    _run(tmp_path, range(1, 5))
    (file,) = tmp_path.glob("events.*")
    scalars = [(value.tag, event.step) for event in _events(file.read_bytes()) for value in event.summary.value]
    assert scalars.count(("loss", 3)) == 1
    assert ("validation_psnr", 4) in scalars
    assert len(scalars) == 4 * 5 + 1


def test_a_resumed_run_drops_later_rows_and_a_truncated_line(tmp_path):
    _run(tmp_path, range(1, 8))
    path = tmp_path / "log.jsonl"
    path.write_text(path.read_text() + '{"step": 8, "lo')
    _run(tmp_path, [6, 7, 8], resumed_step=5)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert not list(tmp_path.glob(".*"))


def test_a_new_run_starts_an_empty_log(tmp_path):
    _run(tmp_path, range(1, 8))
    _run(tmp_path, [1])
    assert [row["step"] for row in read_log(tmp_path / "log.jsonl")] == [1]


def test_rows_survive_an_exception(tmp_path):
    def interrupted():
        with TrainingLog(tmp_path, 10, console=_console(terminal=True)) as log:
            log.record(1, loss=1.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(read_log(tmp_path / "log.jsonl")) == 1


def test_nan_and_infinity_are_null_and_valid_json(tmp_path):
    with TrainingLog(tmp_path, 10, console=_console()) as log:
        log.record(1, loss=float("nan"), forward_residual=jnp.inf)

    def refuse(constant):
        raise AssertionError(constant)

    row = json.loads((tmp_path / "log.jsonl").read_text(), parse_constant=refuse)
    assert row["loss"] is None
    assert row["forward_residual"] is None


def test_without_a_terminal_lines_are_printed_from_time_to_time(tmp_path):
    console = _console()
    _run(tmp_path, range(1, 11), console=console)
    lines = console.file.getvalue().splitlines()
    assert [line.split(" | ")[0] for line in lines] == ["step 1/10", "step 4/10", "step 10/10"]
    assert (
        "loss 0.25 | validation PSNR 31.50 dB | forward 12.2 steps, 1.0e-04 | backward 8.0 steps, 2.0e-03 | "
        in lines[1]
    )
    assert lines[2].endswith("0:00:00 left")
    assert not any("\x1b" in line for line in lines)


def test_any_validation_metric_is_shown_and_prints_a_line(tmp_path):
    console = _console()
    with TrainingLog(tmp_path, 10, console=console) as log:
        log.record(1, loss=0.5, learning_rate=1e-3)
        log.record(2, loss=0.4, validation_mean_dice=0.81234, validation_ssim=None)
        log.record(3, loss=0.3)
    lines = console.file.getvalue().splitlines()
    assert [line.split(" | ")[:-1] for line in lines] == [
        ["step 1/10", "loss 0.5"],
        ["step 2/10", "loss 0.4", "validation mean dice 0.8123"],
    ]


def test_a_terminal_shows_a_progress_bar_with_the_metrics(tmp_path):
    console = _console(terminal=True)
    _run(tmp_path, range(1, 11), console=console)
    shown = console.file.getvalue()
    assert "10/10" in shown
    assert "validation PSNR 31.50 dB" in shown


def test_the_remaining_time_counts_only_the_steps_of_this_session(tmp_path, monkeypatch):
    console, now = _console(), [0.0]
    monkeypatch.setattr("deqjax.report.log.time.monotonic", lambda: now[0])
    with TrainingLog(tmp_path, 100, resumed_step=90, console=console) as log:
        now[0] = 120.0
        log.record(92, loss=1.0)
    assert "0:08:00 left" in console.file.getvalue()


def test_a_step_after_the_end_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="resumed_step is 11"):
        TrainingLog(tmp_path, 10, resumed_step=11, console=_console())
