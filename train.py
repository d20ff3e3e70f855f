"""Train an experiment, without an installation of the command: python train.py CONFIG [--key=value ...].

This is ``deqjax train``; the loop is in deqjax/run/fitting.py.
"""

import sys

from deqjax.__main__ import run

if __name__ == "__main__":
    run(["train", *sys.argv[1:]])
