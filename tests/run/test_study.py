"""deqjax study: its files, cells, statistics and report, with made-up results; and a real study that is killed."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import refusal, succeed
from scipy import stats

from deqjax.run import study_running
from deqjax.run.cli import main
from deqjax.run.study_cells import IMAGES, RESULT, EvaluationCell, TrainingCell, plan
from deqjax.run.study_settings import find_study, read_study, shipped_studies
from deqjax.run.study_statistics import METRICS, observations, summarise

ROOT = Path(__file__).parents[2]
TEXT = """
title = "a study"
config = "quickstart"
baseline = "loss=MSE"
overrides = ["data.noise=[0.0, 0.1]"]

[train.loss]
"MSE" = ["loss.type=MSE"]
"L1" = ["loss.type=L1"]

[train.seed]
"0" = ["seed=0"]
"1" = ["seed=1"]

[evaluate.noise]
"1 %" = ["data.noise=[0.01, 0.01]"]
"3 %" = ["data.noise=[0.03, 0.03]"]

[reduced]
only = ["seed=0"]
overrides = ["phase.train.steps=3"]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def made_up(monkeypatch):
    """Replace the work by made-up results: L1 is 1 dB better, with seed 1 another 0.5 dB. Returns what was done."""
    done = []

    def fake(cell, command):
        done.append(cell.name)
        if isinstance(cell, TrainingCell):
            if done.count("loss L1, seed 1") == 1 and cell.name == "loss L1, seed 1":
                raise ValueError("it diverged")
            cell.model.mkdir(parents=True)
            return
        gain = (cell.levels["loss"] == "L1") * (1 + 0.5 * int(cell.levels["seed"])) - float(cell.levels["noise"][0])
        values = 30 + np.random.default_rng(0).standard_normal(6)
        rows = [
            {"volume": f"{number}"}
            | {f"{name} zero-filled": 25.0 for name in METRICS}
            | {name: value + gain + 0.1 * number for name in METRICS}
            for number, value in enumerate(values)
        ]
        cell.folder.mkdir(parents=True)
        image = np.random.default_rng(0).standard_normal((16, 16)).astype(np.complex64)
        np.savez(cell.folder / IMAGES, image=image, target=image, zero_filled=image)
        result = {"settings": cell.settings, "levels": cell.levels, "volume": rows, "slice": rows}
        (cell.folder / RESULT).write_text(json.dumps(result | {"profile": {"seconds per slice": 1.0}}))

    monkeypatch.setattr(study_running, "run_cell", fake)
    return done


@pytest.mark.parametrize("name", shipped_studies())
def test_every_shipped_study_has_cells_and_a_small_reduced_form(name, tmp_path):
    path = find_study(name)
    smaller = plan(read_study(path, reduced=True), tmp_path)
    assert 3 <= len(smaller) <= 12 < len(plan(read_study(path), tmp_path))


def test_a_cell_with_other_settings_is_another_cell(file, tmp_path):
    def folders(*overrides, **options):
        return {cell.folder for cell in plan(read_study(file, overrides, **options), tmp_path / "out")}

    cells = plan(read_study(file), tmp_path / "out")
    assert len(cells) == 4 + 8
    assert [type(cell) for cell in cells[:4]] == [TrainingCell, EvaluationCell, EvaluationCell, TrainingCell]
    assert 'type = "L1"' in cells[6].settings
    assert "0.03" in cells[2].settings
    assert folders() == folders("out=elsewhere")
    assert not folders() & folders("phase.train.steps=7")
    assert not folders() & folders(reduced=True)
    assert len(folders(only=["loss=L1", "noise=3 %"])) == 4
    assert folders(only=["loss=L1"]) < folders()
    # models that differ only in what the evaluation sets are different models
    file.write_text(TEXT.replace('"loss.type=L1"', '"loss.type=MSE", "data.noise=[0.05, 0.05]"'))
    assert len(folders()) == 4 + 8


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("title", "titel", "unknown key titel"),
        ('"loss=MSE"', '"loss=L2"', "the baseline loss=L2 is no level"),
        ('"loss=MSE"', '"seed=0"', "is pooled"),
        ('"quickstart"', '"quickstrat"', "no config 'quickstrat'"),
        ('["loss.type=L1"]', '"loss.type=L1"', "train.loss.L1 must be a list of strings"),
        ('["loss.type=L1"]', '["loss.type=MSE"]', "have the same settings"),
        ("[0.03, 0.03]", "[0.01, 0.01]", "have the same settings"),
        ('["seed=1"]', '["sed=1"]', "unknown key sed"),
        ("evaluate.noise", "evaluate.seed", "training axis and an evaluation axis"),
        ("title", "unit = 3\ntitle", "unit must be one of"),
    ],
)
def test_what_is_wrong_in_a_study_is_named(file, tmp_path, old, new, words):
    file.write_text(TEXT.replace(old, new, 1))
    assert words in refusal("study", [str(file), f"--out={tmp_path / 'out'}"])
    assert not (tmp_path / "out").exists()


def test_wrong_options_are_named(file):
    assert "no level 'L2'; it has ['MSE', 'L1']" in refusal("study", [str(file), "--only=loss=L2"])
    assert "no axis 'los'" in refusal("study", [str(file), "--only=los=L1"])
    assert "give at least 1" in refusal("study", [str(file), "--processes=0"])
    assert "thesis_losses" in refusal("study", ["thesis_loses"])


def test_only_what_is_missing_is_done_and_a_failure_stops_nothing_else(file, tmp_path, made_up, capsys):
    out = tmp_path / "out"
    arguments = [str(file), f"--out={out}"]
    assert main(["study", *arguments]) == 1
    text = capsys.readouterr().out
    assert "failed: loss L1, seed 1: it diverged" in text
    assert "failed: loss L1, seed 1, noise 3 %: its model could not be trained" in text
    assert "6 of 8 cells are done" in text
    assert len(made_up) == 4 + 6
    succeed("study", arguments)  # what failed is tried again, and nothing else
    assert made_up[10:] == ["loss L1, seed 1", "loss L1, seed 1, noise 1 %", "loss L1, seed 1, noise 3 %"]
    succeed("study", arguments)
    assert len(made_up) == 13
    assert len(list(csv.DictReader((out / "volumes.csv").open()))) == 8 * 6
    page = (out / "index.html").read_text()
    assert "8 of 8 cells are done" in page
    assert page.count("<figure") == 4 * (2 + 2) + 4  # target, zero-filled, two losses, and four curves
    found = next(out.glob(f"cells/*/*/{RESULT}"))
    found.write_text(json.dumps(json.loads(found.read_text()) | {"settings": "others"}))
    assert "holds the result of other settings" in refusal("study", arguments)


def test_a_cell_belongs_to_one_process(file, tmp_path):
    cell = plan(read_study(file), tmp_path)[0]
    with cell.claimed() as mine, cell.claimed() as again:
        assert (mine, again) == (True, False)
    with cell.claimed() as mine:
        assert mine


def test_the_statistics_are_those_of_scipy(file, tmp_path, made_up):
    study = read_study(file)
    cells = plan(study, tmp_path)
    study_running.run_cells(cells, "command")
    assert study_running.run_cells(cells, "command") == []
    results = [cell.result() for cell in cells if isinstance(cell, EvaluationCell)]
    rows = summarise(observations(results, study), study)
    (row,) = [r for r in rows if (r["loss"], r["noise"], r["metric"]) == ("L1", "1 %", "PSNR")]
    values = {
        (r["levels"]["loss"], r["levels"]["seed"]): np.array([one["PSNR"] for one in r["volume"]])
        for r in results
        if r["levels"]["noise"] == "1 %"
    }
    mine, other = ((values[loss, "0"] + values[loss, "1"]) / 2 for loss in ("L1", "MSE"))
    assert row["n"] == 6
    assert row["mean"] == pytest.approx(mine.mean())
    assert row["deviation"] == pytest.approx(stats.tstd(mine))
    assert row["spread"] == pytest.approx(np.std([values["L1", seed].mean() for seed in "01"], ddof=1))
    expected = stats.bootstrap((mine,), np.mean, method="percentile", n_resamples=20000, rng=1).confidence_interval
    assert (row["low"], row["high"]) == pytest.approx(tuple(expected), abs=0.05)
    assert row["difference"] == pytest.approx(1.25)
    assert row["agree"] == "2 of 2"
    assert row["p"] == pytest.approx(stats.wilcoxon(mine, other).pvalue)
    same = [r["p"] for r in rows if r["metric"] == "PSNR" and "p" in r]
    assert len(same) == 4  # L1 and zero-filled at two noise levels
    adjusted = [r["p adjusted"] for r in rows if r["metric"] == "PSNR" and "p" in r]
    np.testing.assert_allclose(adjusted, stats.false_discovery_control(same))


@pytest.mark.slow
def test_a_study_that_is_killed_resumes_and_its_cells_are_reproduced(tmp_path):
    """thesis_losses in its reduced form: SIGKILL in a training, two processes for the rest, and one cell once more."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DEQJAX_CACHE": str(tmp_path / "compiled")}
    phantoms = f"--data.phantoms.folder={tmp_path / 'phantoms'}"
    out = tmp_path / "study"

    def command(*options):
        return [sys.executable, "-m", "deqjax", "study", "thesis_losses", "--reduced", phantoms, *options]

    killed = subprocess.Popen(command(f"--out={out}"), cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    while not list(out.glob("models/*loss=perp*/checkpoints/[0-9]*")):  # the second training has begun
        time.sleep(0.1)
        assert killed.poll() is None
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = {path: path.read_bytes() for path in out.glob(f"cells/*/*/{RESULT}")}
    assert len(before) == 2
    done = subprocess.run(
        command(f"--out={out}", "--processes=2"), cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert "4 of 4 cells are done" in done.stdout
    assert re.search(r"\n3 cells are missing", f"\n{done.stdout}")
    assert all(path.read_bytes() == text for path, text in before.items())
    again = tmp_path / "again"
    subprocess.run(
        command(f"--out={again}", "--only=loss=perpendicular"),
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=True,
    )
    found = [{key(row): row for row in rows_of(folder)} for folder in (again, out)]
    assert len(found[0]) == 8
    for name, row in found[0].items():
        for metric in METRICS:
            if metric in row:
                assert float(row[metric]) == pytest.approx(float(found[1][name][metric]), abs=1e-4)


def rows_of(folder):
    with (folder / "slices.csv").open() as file:
        return list(csv.DictReader(file))


def key(row):
    return tuple(row[name] for name in ("net", "seed", "loss", "noise", "volume"))
