"""Runs: experiments made from configs, the training loop, evaluation, and the command ``deqjax``."""

from deqjax.run.configs import config_folder, find_config, read_experiment, run_folder, shipped_configs
from deqjax.run.experiment import Experiment, TrainingPhase, reconstruction_experiment
from deqjax.run.fitting import Fitted, fit
from deqjax.run.folder import Run
from deqjax.run.volumes import Volume, evaluate_file

__all__ = [
    "Experiment",
    "Fitted",
    "Run",
    "TrainingPhase",
    "Volume",
    "config_folder",
    "evaluate_file",
    "find_config",
    "fit",
    "read_experiment",
    "reconstruction_experiment",
    "run_folder",
    "shipped_configs",
]
