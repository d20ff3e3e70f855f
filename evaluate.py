"""Evaluate a model, without an installation of the command: python evaluate.py MODEL [--data=FILES] [--key=value ...].

This is ``deqjax evaluate``; the code is in deqjax/run/evaluation.py.
"""

import sys

from deqjax.__main__ import run

if __name__ == "__main__":
    run(["evaluate", *sys.argv[1:]])
