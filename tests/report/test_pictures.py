"""Pictures and curves: the files are PNGs of the expected shape and show the given images."""

import io
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from deqjax.report import comparison, convergence, training_curve
from deqjax.report.curves import panels_of


def _pixels(path):
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    return imread(io.BytesIO(data))[..., :3]


def test_comparison_shows_images_and_errors_at_common_scales(tmp_path):
    target = np.full((40, 50), 0.5)
    images = {"half": target / 2, "target": target, "near": target + 0.05}
    comparison(tmp_path / "new" / "a.png", images, captions={"near": "20.0 dB"})
    pixels = _pixels(tmp_path / "new" / "a.png")
    assert pixels.shape[1] == pytest.approx(150 * (3 * 2.5 + 2 * 0.06 + 2 * 0.14), abs=2)
    rows = {"image": int(pixels.shape[0] - 150 * (0.14 + 2 + 0.06 + 1)), "error": int(pixels.shape[0] - 150 * 1.14)}
    half, near = 150 * 1.4, 150 * (0.14 + 2 * 2.56 + 1.25)
    assert pixels[rows["image"], int(half)] == pytest.approx([0.5] * 3, abs=0.01)
    assert pixels[rows["image"], int(near)] == pytest.approx([1.0] * 3, abs=0.01)
    assert pixels[rows["error"], int(half)] == pytest.approx([0.988, 0.998, 0.645], abs=0.02), "the end of the scale"
    assert pixels[rows["error"], int(near)] == pytest.approx([0.73, 0.21, 0.33], abs=0.05), "the middle of the scale"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": np.ones((4, 4))}, "target_name 'target' is not among"),
        (
            {"a": np.ones((4, 5)), "target": np.ones((4, 4))},
            r"columns\['a'\] is float64 \(4, 5\) and the target \(4, 4\)",
        ),
        ({"target": np.ones((4, 4), complex)}, "real magnitudes"),
        ({"target": np.ones((2, 4, 4))}, r"real magnitudes \(y, x\)"),
    ],
)
def test_the_error_of_comparison_names_the_bad_column(tmp_path, columns, message):
    with pytest.raises(ValueError, match=message):
        comparison(tmp_path / "a.png", columns)
    assert not list(tmp_path.iterdir())


def test_an_all_zero_target_can_be_drawn(tmp_path):
    comparison(tmp_path / "a.png", {"zero-filled": np.zeros((8, 8)), "target": np.zeros((8, 8))})
    assert _pixels(tmp_path / "a.png").size


def test_convergence_of_images_that_stopped_or_never_started(tmp_path):
    residuals = 0.8 ** np.arange(30.0) * np.ones((3, 1))
    residuals[0, 12:] = np.nan
    residuals[1] = np.nan
    residuals[2, 20:] = 0
    convergence(tmp_path / "a.png", {"Picard": residuals, "Anderson": 0.5 ** np.arange(20.0)}, rtol=1e-4)
    assert _pixels(tmp_path / "a.png").min() < 0.5
    with pytest.raises(ValueError, match=r"curves\['a'\].*\(image, steps\)"):
        convergence(tmp_path / "b.png", {"a": np.ones((2, 2, 2))})


def test_training_curve_skips_missing_values_and_panels_without_data(tmp_path):
    rows = [{"step": step, "loss": 1 / step, "forward_steps": None} for step in range(1, 200)]
    rows[50]["loss"] = None
    rows[99]["validation_psnr"] = 31.0
    training_curve(tmp_path / "two.png", rows)
    training_curve(tmp_path / "one.png", [{"step": 1, "loss": 1.0}])
    assert _pixels(tmp_path / "two.png").shape[0] == 2 * _pixels(tmp_path / "one.png").shape[0]
    with pytest.raises(ValueError, match=r"rows hold \['step'\]"):
        training_curve(tmp_path / "b.png", [{"step": 1}])


def test_training_curve_has_a_panel_for_each_validation_metric(tmp_path):
    rows = [{"step": step, "loss": 1.0, "validation_mean_dice": 0.8, "validation_loss": 2.0} for step in range(1, 5)]
    assert list(panels_of(list(rows[0]))) == ["loss", "validation mean dice", "validation loss"]
    assert list(panels_of(["backward_residual", "validation_psnr"])) == ["validation PSNR, dB", "relative residual"]
    training_curve(tmp_path / "a.png", rows)
    assert _pixels(tmp_path / "a.png").shape[0] == pytest.approx(3 * 2.6 * 150, abs=2)


@pytest.mark.slow
def test_optional_packages_are_imported_late_and_pyplot_never():
    script = (
        "import sys, flax, orbax.checkpoint, numpy as np\n"
        "before = set(sys.modules)\n"
        "import deqjax.report as report\n"
        "early = {'rich', 'matplotlib', 'tensorboardX'} & (set(sys.modules) - before)\n"
        "assert not early, early\n"
        "import tempfile\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    report.comparison(folder + '/a.png', {'target': np.eye(8)})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "sys.modules['rich.text'] = None\n"
        "try:\n"
        "    report.metrics_table([], 'none')\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "this report needs rich: pip install 'deqjax[report]'", done.stderr
