"""Evaluate a model, without an installation of the command: python evaluate.py MODEL [--data=FILES] [--key=value ...].

This is ``deqjax evaluate``; the code is in deqjax/run/evaluation.py.
"""

import sys

from deqjax.run.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
