"""Memory of one gradient: python benchmarks/gradient_memory.py --size 128 --layers 17 --features 64 --steps 200

The command prints the peak resident memory, in bytes, of a process that computes the gradient of a loss through the
equilibrium. benchmarks/reconstruction.py runs it in a process of its own for several numbers of steps, and also reports
the memory that the compiler plans.
"""

import argparse
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from deq_problem import make_method, make_problem

import deqjax as dj
from deqjax.types import Params


def loss_gradient(size: int, layers: int, features: int, steps: int) -> tuple[Any, tuple]:
    """Return the jitted gradient of the mean squared error with respect to the parameters, and its arguments."""
    problem, recon = make_problem(size, layers, features), make_method(layers, features, steps)

    def loss(params: Params, A: dj.physics.MaskedFourier, kspace: jax.Array, target: jax.Array) -> jax.Array:
        return dj.losses.mse(recon(params, A, kspace)[0], target)

    A = dj.physics.MaskedFourier(jnp.asarray(problem.mask))
    return jax.jit(jax.grad(loss)), (problem.params, A, A.forward(jnp.asarray(problem.target)), problem.target)


def compiled_memory(size: int, layers: int, features: int, steps: int) -> int:
    """Return the bytes that the compiled gradient needs in addition to its arguments and results."""
    gradient, args = loss_gradient(size, layers, features, steps)
    return gradient.lower(*args).compile().memory_analysis().temp_size_in_bytes


def peak_memory(size: int, layers: int, features: int, steps: int) -> int:
    """Return the peak resident memory, in bytes, of a new process that computes the gradient, with all libraries."""
    options = {"size": size, "layers": layers, "features": features, "steps": steps}
    command = [sys.executable, __file__, *(f"--{name}={value}" for name, value in options.items())]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def own_peak_memory(size: int, layers: int, features: int, steps: int) -> int:
    """Compute the gradient, and return the peak resident memory of this process in bytes.

    The gradient is computed so often that 400 steps are made, at least twice. The allocator is then used equally often
    for few and for many steps in one gradient.
    """
    gradient, args = loss_gradient(size, layers, features, steps)
    for _ in range(max(2, 400 // steps)):
        jax.block_until_ready(gradient(*args))
    status = Path("/proc/self/status")
    if status.exists():  # Linux; ru_maxrss includes the memory of the parent at the time when it started this process
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, required=True, help="pixels along each side")
    parser.add_argument("--layers", type=int, required=True, help="layers of the DnCNN, at least 2")
    parser.add_argument("--features", type=int, required=True, help="features of the DnCNN, at least 4")
    parser.add_argument("--steps", type=int, required=True, help="evaluations in each of the two solves")
    print(own_peak_memory(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
