"""How much memory a gradient through an equilibrium needs, as the compiler plans it and as a process shows it."""

import argparse
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from deq_problem import make_problem, method

import deqjax as dj


def loss_gradient(size: int, layers: int, features: int, steps: int) -> tuple[Any, tuple]:
    """The jitted gradient of the mean squared error with respect to the parameters, and its arguments."""
    problem, recon = make_problem(size, layers, features), method(layers, features, steps)

    def loss(params: dict, A: dj.physics.MaskedFourier, kspace: jax.Array, target: jax.Array) -> jax.Array:
        return dj.losses.mse(recon(params, A, kspace)[0], target)

    A = dj.physics.MaskedFourier(jnp.asarray(problem.mask))
    return jax.jit(jax.grad(loss)), (problem.params, A, A.forward(jnp.asarray(problem.target)), problem.target)


def compiled_memory(size: int, layers: int, features: int, steps: int) -> int:
    """Bytes that the compiled gradient needs beside its arguments and results."""
    gradient, args = loss_gradient(size, layers, features, steps)
    return gradient.lower(*args).compile().memory_analysis().temp_size_in_bytes


def peak_memory(size: int, layers: int, features: int, steps: int) -> int:
    """The most bytes that a process of its own held; the libraries are in it.

    It computes the gradient as often as makes 400 steps, so that the allocator has had as many turns for few steps a
    gradient as for many.
    """
    options = {"size": size, "layers": layers, "features": features, "steps": steps}
    command = [sys.executable, __file__, *(f"--{name}={value}" for name, value in options.items())]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def own_peak_memory(size: int, layers: int, features: int, steps: int) -> int:
    gradient, args = loss_gradient(size, layers, features, steps)
    for _ in range(max(2, 400 // steps)):
        jax.block_until_ready(gradient(*args))
    status = Path("/proc/self/status")
    if status.exists():  # Linux: ru_maxrss would count what the parent held when it started this process
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":  # the child process of peak_memory
    parser = argparse.ArgumentParser(description="Print the peak memory of one gradient, in bytes.")
    for name in ("size", "layers", "features", "steps"):
        parser.add_argument(f"--{name}", type=int, required=True)
    print(own_peak_memory(**vars(parser.parse_args())))
