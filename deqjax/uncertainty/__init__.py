"""How uncertain an image is: noise maps, resampled lines, a learned scale, and calibrated intervals."""

from deqjax.uncertainty.bootstrap import bootstrap_deviation
from deqjax.uncertainty.calibration import Bounds, Calibration, Example, calibrate, scores_of
from deqjax.uncertainty.conformal import conformal_quantile, image_score
from deqjax.uncertainty.error_bars import Uncertainty, join_bounds
from deqjax.uncertainty.evidence import Evidence, gather
from deqjax.uncertainty.noise import noise_deviation
from deqjax.uncertainty.scale import ErrorScale, features, fit_scale

__all__ = [
    "Bounds",
    "Calibration",
    "ErrorScale",
    "Evidence",
    "Example",
    "Uncertainty",
    "bootstrap_deviation",
    "calibrate",
    "conformal_quantile",
    "features",
    "fit_scale",
    "gather",
    "image_score",
    "join_bounds",
    "noise_deviation",
    "scores_of",
]
