# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Train and evaluate
#
# A very small model on a few simulated brains, to see every step. So few steps teach it hardly anything;
# `deqjax train quickstart` trains a useful model, in minutes.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import deqjax as dj
from deqjax.report import read_log
from deqjax.run import find_config
from deqjax.run.training_run import train

folder = Path(tempfile.mkdtemp())
dj.data.write_phantoms(folder / "train", 4, (4, 64, 64), seed=0)
dj.data.write_phantoms(folder / "val", 1, (4, 64, 64), seed=1)

# %% [markdown]
# The settings of the config `quickstart`, some of them changed. The same changes work on the command line:
# `deqjax train quickstart --map.net.features=8`.

# %%
settings = [
    f"data.train={folder / 'train'}",
    f"data.val={folder / 'val'}",
    f"out={folder / 'run'}",
    "map.net.levels=2",
    "map.net.features=8",
    "phase.pretrain.steps=20",
    "phase.train.steps=20",
    "run.validate_every=10",
    "run.ema=0.8",
]
run = train(find_config("quickstart"), settings, "examples/train_and_evaluate.py")

# %%
rows = read_log(run.folder / "log.jsonl")
validated = [row for row in rows if "validation_psnr" in row]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
left.semilogy([row["step"] for row in rows], [row["loss"] for row in rows])
left.set(xlabel="step", ylabel="loss")
right.plot([row["step"] for row in validated], [row["validation_psnr"] for row in validated], "o-")
right.set(xlabel="step", ylabel="validation PSNR, dB")
plt.show()

# %% [markdown]
# The run has left a model folder and a page. The model is loaded like one that comes with deqjax.

# %%
recon, params = dj.load(run.model)
print(recon.solver)
print(sorted(path.name for path in run.evaluation.iterdir()))
