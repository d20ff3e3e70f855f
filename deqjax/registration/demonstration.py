"""The demonstration of registration by attention: two functions of a line, with known answers, in four pictures."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.atomic_write import atomic_file
from deqjax.registration.attention import AttentionRegistration, FunctionInverse

EXAMPLES = {
    "square root": (jnp.square, lambda x: x, jnp.sqrt),
    "cosine": (lambda x: jnp.cos(x * jnp.pi / 2), lambda x: x, lambda x: jnp.arccos(x) * 2 / jnp.pi),
}
"""A, B and the map Xi with ``A(Xi(x)) = B(x)``, on [0, 1]."""

SETTINGS = {
    "as given": (FunctionInverse(features=100, scale=59.0, cosine=False, temperature=1.0), 100),
    "sine and cosine": (FunctionInverse(features=1000, scale=59.0, temperature=5.0), 1000),
}
"""How A is inverted, and at how many points."""


def register_line(inverse: FunctionInverse, example: str, count: int, seed: int = 0) -> tuple[jax.Array, jax.Array]:
    """Find Xi of an example at ``count`` points of [0, 1] with features drawn from ``seed``; return it and the truth.

    >>> found, truth = register_line(FunctionInverse(features=1000), "square root", 200)
    >>> bool(jnp.mean(jnp.abs(found - truth)) < 0.001)
    True
    """
    A, B, truth = EXAMPLES[example]
    x = jnp.linspace(0.0, 1.0, count)[:, None]
    module = AttentionRegistration(inverse)
    found = jax.jit(lambda key: module.apply(module.init(key, A(x), B(x), x), A(x), B(x), x))(jax.random.key(seed))
    return found, truth(x)


def demonstrate(folder: str | Path) -> dict[str, float]:
    """Write a picture of each example with each of `SETTINGS`, and return the mean errors of Xi by picture.

    A picture shows A and B, and Xi beside the truth with its error.

    Raises:
      ModuleNotFoundError: matplotlib is not installed: pip install 'deqjax[registration]'.
    """
    from matplotlib.figure import Figure

    folder, errors = Path(folder), {}
    folder.mkdir(parents=True, exist_ok=True)
    for example, (A, B, _) in EXAMPLES.items():
        for setting, (inverse, count) in SETTINGS.items():
            found, truth = (np.asarray(values)[:, 0] for values in register_line(inverse, example, count))
            x, name = np.linspace(0, 1, count), f"{example}, {setting}".replace(" ", "_").replace(",", "")
            errors[name] = float(np.mean(np.abs(found - truth)))
            figure = Figure(figsize=(12, 3.6), layout="constrained")
            functions, maps, error = figure.subplots(1, 3)
            functions.plot(x, A(x), label="A, moving")
            functions.plot(x, B(x), label="B, fixed")
            maps.plot(x, found, label="found")
            maps.plot(x, truth, "--", label="truth")
            maps.set_title("Xi, with A(Xi(x)) = B(x)")
            error.plot(x, found - truth)
            error.set_title(f"error of Xi, mean {errors[name]:.5f}")
            figure.suptitle(f"{example}, {setting}: {inverse.features} features, {count} points")
            functions.legend()
            maps.legend()
            with atomic_file(folder / f"{name}.png", overwrite=True) as temporary:
                figure.savefig(temporary)
    return errors
