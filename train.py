"""Train an experiment, without an installation of the command: python train.py CONFIG [--key=value ...].

This is ``deqjax train``; the loop is in deqjax/run/fitting.py.
"""

import sys

from deqjax.run.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
