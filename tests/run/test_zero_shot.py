"""Fine-tuning on one scan: it stops by lines that it never sees, and keeps the parameters that predict them best."""

import jax
import numpy as np
import pytest
from commands import refusal

from deqjax import masks, model_folders
from deqjax.config import read_config
from deqjax.data import phantom_volume, write_volume
from deqjax.input_checks.preparation import prepare
from deqjax.reconstruction import load_method, solve
from deqjax.run.zero_shot import ZeroShot, fine_tune

KSPACE = phantom_volume(5, (2, 40, 32)).kspace
MASK = masks.CartesianRandom(2, 0.3)(KSPACE.shape, 0)


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "helps"), [(1e-2, True), (0.0, False)])
def test_the_best_parameters_are_kept(experiment, tmp_path, rate, helps):
    config = read_config(experiment(tmp_path)[0], ["run.spectral_bound=0.0"])
    recon = model_folders.method_of(config)
    params = jax.tree.map(lambda leaf: leaf + 0.1, recon.init(jax.random.key(0)))  # a bad model, which can improve
    folder = model_folders.save(tmp_path / "model", config, params, "card")
    said: list[str] = []
    method = load_method(folder)
    prepared = prepare(MASK * KSPACE, MASK, None)
    settings = ZeroShot(steps=40, check_every=10, patience=3, learning_rate=rate)
    tuned, verdict = fine_tune(prepared, method, settings, said.append)
    moved = [not np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (tuned.params, method.params)))]
    assert any(moved) == helps, said
    assert ("lines that it never saw went from" in verdict) == helps
    assert said[1].endswith("dB")
    assert "step 10 of 40" in said[1]
    result = solve(prepared, tuned)
    assert np.isfinite(result.image).all()


def test_what_cannot_be_fine_tuned_is_named(tmp_path):
    full = write_volume(tmp_path / "full.h5", KSPACE)
    arguments = [str(full), f"--out={tmp_path / 'image.npz'}", "--self-supervised"]
    assert "holds out measured lines" in refusal("reconstruct", arguments)
    assert "no parameters to fine-tune" in refusal("reconstruct", [*arguments, "--model=zero-filled"])
