"""CPU seconds of the first and the second reconstruction of a process: python benchmarks/startup.py [--repeats=5].

Every measurement is a fresh process, with JAX's compilation cache empty (cold) or filled (warm). The numbers are
medians; CPU seconds count all threads, so that other work on the machine changes them little. *Whole* is the import,
the load and the first call. Compilation, with tracing and the reading of the cache, is what the first call costs more
than the second.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

MEASURE = """
import time
start = time.process_time()
import deqjax as dj
imported = time.process_time()
import jax, numpy as np
recon, params = dj.load("brain-small")
rng = np.random.default_rng(0)
kspace = (rng.normal(size=(256, 256)) + 1j * rng.normal(size=(256, 256))).astype(np.complex64)
mask = dj.masks.CartesianRandom(acceleration=4, center_fraction=0.08)(kspace.shape, seed=0)
made = time.process_time()
def call():
    image, stats = recon(params, dj.physics.MaskedFourier(mask), mask * kspace)
    return jax.block_until_ready(image)
call()
first = time.process_time()
call()
second = time.process_time()
import json
print(json.dumps({"import": imported - start, "load": made - imported, "first call": first - made,
                  "second call": second - first}))
"""


def measure(cache: str) -> dict[str, float]:
    """Measure one fresh process."""
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    done = subprocess.run([sys.executable, "-c", MEASURE], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    rows = {}
    cold = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(measure(cache))
    rows["cold"] = cold
    with tempfile.TemporaryDirectory() as cache:
        measure(cache)
        rows["warm"] = [measure(cache) for _ in range(repeats)]
    names = ["import", "load", "first call", "second call"]
    print(f"| cache | {' | '.join(names)} | whole | share of compilation |")
    print(f"|{'---|' * (len(names) + 3)}")
    for cache, found in rows.items():
        medians = {name: statistics.median(one[name] for one in found) for name in found[0]}
        whole = sum(medians[name] for name in names[:3])
        share = 100 * (medians["first call"] - medians["second call"]) / whole
        cells = [f"{medians[name]:.2f}" for name in names] + [f"{whole:.2f}", f"{share:.0f} %"]
        print(f"| {cache} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
