"""Reports of results: tables, images, curves, an HTML page, and the log of a training run.

The optional packages rich, matplotlib and tensorboardX (``deqjax[report]``) are imported only when they are used.
"""

from deqjax.report.curves import convergence, metric_curves, training_curve
from deqjax.report.log import TrainingLog, read_log
from deqjax.report.page import Html, Part, code, details, group, headline, html_table, paragraph, picture, write_page
from deqjax.report.panels import error_png, grey_png, mosaic_png, phase_png, window_of_detail
from deqjax.report.pictures import comparison
from deqjax.report.table import metrics_table, write_csv

__all__ = [
    "Html",
    "Part",
    "TrainingLog",
    "code",
    "comparison",
    "convergence",
    "details",
    "error_png",
    "grey_png",
    "group",
    "headline",
    "html_table",
    "metric_curves",
    "metrics_table",
    "mosaic_png",
    "paragraph",
    "phase_png",
    "picture",
    "read_log",
    "training_curve",
    "window_of_detail",
    "write_csv",
    "write_page",
]
