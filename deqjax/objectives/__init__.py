"""Objectives: what a phase of training minimises. Each one is a setting that a config chooses by its name."""

from deqjax.objectives.acquisition import Acquisition, Measurement, measurement, noise_unit
from deqjax.objectives.combination import Combination, Term
from deqjax.objectives.equivariant import EquivariantImaging, MultiOperatorImaging
from deqjax.objectives.measurements import DataConsistency, Sample
from deqjax.objectives.motion import DemonsMotion, KnownMotion, NetworkMotion, NoMotion
from deqjax.objectives.moved_pair import MovedPair
from deqjax.objectives.noise_terms import R2R, SURE, estimate_error
from deqjax.objectives.pair import Pair
from deqjax.objectives.split import Split, noisier_image
from deqjax.objectives.supervised import Denoising, Problem, Supervised

__all__ = [
    "R2R",
    "SURE",
    "Acquisition",
    "Combination",
    "DataConsistency",
    "DemonsMotion",
    "Denoising",
    "EquivariantImaging",
    "KnownMotion",
    "Measurement",
    "MovedPair",
    "MultiOperatorImaging",
    "NetworkMotion",
    "NoMotion",
    "Pair",
    "Problem",
    "Sample",
    "Split",
    "Supervised",
    "Term",
    "estimate_error",
    "measurement",
    "noise_unit",
    "noisier_image",
]
