"""Reports of results: tables, images, curves, an HTML page, and the log of a training run.

The optional packages rich, matplotlib and tensorboardX (``deqjax[report]``) are imported only when they are used.
"""

from deqjax.report.curves import convergence, training_curve
from deqjax.report.log import TrainingLog, read_log
from deqjax.report.page import Html, code, html_table, paragraph, picture, write_page
from deqjax.report.pictures import comparison
from deqjax.report.table import metrics_table, write_csv

__all__ = [
    "Html",
    "TrainingLog",
    "code",
    "comparison",
    "convergence",
    "html_table",
    "metrics_table",
    "paragraph",
    "picture",
    "read_log",
    "training_curve",
    "write_csv",
    "write_page",
]
