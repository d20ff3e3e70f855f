"""Training and evaluation where no file has a target: held-out lines select the model."""

from typing import Any

import numpy as np
import pytest
from commands import refusal, succeed

from deqjax import masks, model_folders
from deqjax.config import read_config
from deqjax.data import phantom_volume, write_volume
from deqjax.report.log import read_log
from deqjax.run.without_targets import hold_out

MASK = masks.CartesianRandom(2, 0.2)


@pytest.mark.parametrize("shape", [(1, 64), (32, 64)])
def test_what_is_held_out_was_measured_outside_the_centre(shape):
    mask = np.broadcast_to(MASK((32, 64), 0), shape)
    out = hold_out(mask, 0.2, seed=0)
    assert out.shape == shape
    assert (out <= mask).all()
    assert out.sum() == pytest.approx(0.2 * mask.sum(), abs=1)
    rows = slice(None) if shape[0] == 1 else slice(13, 19)
    assert not out[rows, 26:38].any()
    np.testing.assert_array_equal(out, hold_out(mask, 0.2, seed=0))
    assert not np.array_equal(out, hold_out(mask, 0.2, seed=1))
    nothing = hold_out(np.pad(np.ones((1, 8)), ((0, 0), (28, 28))), None, seed=0)
    assert not nothing.any(), "only the centre was measured"


@pytest.mark.slow
def test_a_model_is_trained_and_evaluated_on_undersampled_files_alone(experiment, tmp_path):
    for part, seeds in (("train", (1, 2)), ("val", (3,))):
        for seed in seeds:
            kspace = phantom_volume(seed, (2, 32, 32)).kspace
            write_volume(tmp_path / part / f"{seed}.h5", MASK((32, 32), seed) * kspace)
    config, *_ = experiment(tmp_path / "run")
    settings = [
        config,
        f"--out={tmp_path / 'run'}",
        f"--data.train={tmp_path / 'train'}",
        f"--data.val={tmp_path / 'val'}",
        '--data.augment.flips="y"',
        "--data.augment.constant_phase=true",
        "--phase.train.objective.type=Split",
        "--phase.train.objective.keep=6",
    ]
    assert "is undersampled, and this needs the full k-space" in refusal("train", settings)  # the phase pretrain
    settings.append("--phase.pretrain=false")
    pairs = [*settings[:-2], settings[-1], "--phase.train.objective.type=Pair"]
    assert "no second acquisition can be simulated" in refusal("train", pairs)
    succeed("train", settings)
    rows = read_log(tmp_path / "run" / "log.jsonl")
    assert [row["step"] for row in rows if "validation_held_out_snr" in row] == [4, 6]
    text = (tmp_path / "run" / "model" / "README.md").read_text()
    assert f"Validation held out SNR: {rows[-1]['validation_held_out_snr']:.2f} dB" in text
    domain = model_folders.load_domain(tmp_path / "run" / "model")
    assert domain is not None
    assert domain.acceleration[0] > 1
    assert "held-out SNR" in (tmp_path / "run" / "evaluation" / "volumes.csv").read_text()


def test_objectives_in_toml(experiment, tmp_path):
    config, *_ = experiment(tmp_path)

    def read(*settings: str) -> Any:
        return read_config(config, settings).phase[1].objective

    found = read(
        "phase.train.objective.type=Combination",
        'phase.train.objective.terms=[{objective={type="Split", points=true}}, {objective={type="R2R"}, weight=0.5}]',
    )
    assert [type(term.objective).__name__ for term in found.terms] == ["Split", "R2R"]
    assert found.terms[0].objective.points
    assert found.terms[1].weight == 0.5
    moi = read("phase.train.objective.type=MultiOperatorImaging", 'phase.train.objective.data={type="SURE"}')
    assert type(moi.data).__name__ == "SURE"
    found = read("phase.train.objective.type=MovedPair", "phase.train.objective.motion.type=NoMotion")
    assert type(found.motion).__name__ == "NoMotion"
    with pytest.raises(ValueError, match="Supervised"):
        read(
            "phase.train.objective.type=Combination",
            'phase.train.objective.terms=[{objective={type="Supervised"}}]',
        )
