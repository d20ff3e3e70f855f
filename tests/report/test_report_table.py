"""Tables on the terminal and as CSV."""

import csv
import io

import numpy as np
import pytest
from rich.console import Console

from deqjax.report import metrics_table, write_csv

ROWS = [
    {"volume": "knee, 1.h5", "psnr": 31.25, "steps": 17, "converged": np.bool_(True)},
    {"volume": "[bold]2.h5", "psnr": np.float32(32.75), "ssim": 0.9125, "steps": 19, "converged": np.bool_(False)},
]


def _printed(**settings):
    printed = io.StringIO()
    metrics_table(ROWS, "brain [4x]", console=Console(file=printed, width=100), **settings)
    return printed.getvalue()


def test_the_table_shows_every_value_and_the_mean_over_volumes():
    text = _printed()
    for word in ("brain [4x]", "knee, 1.h5", "[bold]2.h5", "31.25", "32.75", "0.9125", "17", "True"):
        assert word in text
    assert "mean of 2" in text
    assert "32.00" in text
    assert "± 1.06" in text
    assert "mean of 2" not in _printed(means=False)


def test_csv_round_trip_at_full_precision(tmp_path):
    path = tmp_path / "new" / "metrics.csv"
    rows = [{"volume": 'a,"b"', "psnr": 31.123456789012345}, {"volume": "ü", "psnr": 1e-30, "ssim": 0.5}]
    write_csv(path, rows)
    with path.open(encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert [row["volume"] for row in found] == ['a,"b"', "ü"]
    assert [float(row["psnr"]) for row in found] == [31.123456789012345, 1e-30]
    assert found[0]["ssim"] == ""
    assert [file.name for file in path.parent.iterdir()] == ["metrics.csv"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    class Unprintable:
        def __str__(self):
            raise RuntimeError("half way")

    path = tmp_path / "metrics.csv"
    write_csv(path, [{"psnr": 1.0}])
    with pytest.raises(RuntimeError, match="half way"):
        write_csv(path, [{"psnr": 2.0}, {"psnr": Unprintable()}])
    assert path.read_text() == "psnr\n1.0\n"
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.csv"]
