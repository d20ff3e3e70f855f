"""Many images: the mean of a population or of a time series, label fusion, and change between two scans."""

from deqjax.registration.populations.change import LabelChange, label_changes
from deqjax.registration.populations.fusion import fuse_labels, local_weights
from deqjax.registration.populations.template import Template, build_template

__all__ = ["LabelChange", "Template", "build_template", "fuse_labels", "label_changes", "local_weights"]
