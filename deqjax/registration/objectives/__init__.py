"""What the training of a registration network minimises."""

from deqjax.registration.objectives.synthetic_warps import SyntheticWarps
from deqjax.registration.objectives.unsupervised import Unsupervised

__all__ = ["SyntheticWarps", "Unsupervised"]
