"""``python -m deqjax`` is the command ``deqjax``."""

import sys

from deqjax.run.cli import main

sys.exit(main())
