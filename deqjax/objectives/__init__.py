"""Objectives: what a phase of training minimises. Each one is a setting that a config chooses by its name."""

from deqjax.objectives.acquisition import Acquisition, Measurement, measurement, noise_unit
from deqjax.objectives.supervised import Denoising, Problem, Supervised

__all__ = ["Acquisition", "Denoising", "Measurement", "Problem", "Supervised", "measurement", "noise_unit"]
