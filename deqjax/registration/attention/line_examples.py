"""Examples of registration by attention: two functions of a line with known maps, drawn in four pictures."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.atomic_write import atomic_file
from deqjax.registration.attention.function_inverse import AttentionRegistration, FunctionInverse

EXAMPLES = {
    "square root": (jnp.square, lambda x: x, jnp.sqrt),
    "cosine": (lambda x: jnp.cos(x * jnp.pi / 2), lambda x: x, lambda x: jnp.arccos(x) * 2 / jnp.pi),
}
"""A, B and the map Xi with ``A(Xi(x)) = B(x)``, on [0, 1]."""

SETTINGS = {
    "as given": (FunctionInverse(features=100, scale=59.0, cosine=False, temperature=1.0), 100),
    "sine and cosine": (FunctionInverse(features=1000, scale=59.0, temperature=5.0), 1000),
}
"""The module that inverts A, and the number of points."""


def register_line(inverse: FunctionInverse, example: str, count: int, seed: int = 0) -> tuple[jax.Array, jax.Array]:
    """Find Xi of an example.

    Args:
      inverse: the module that inverts A.
      example: a name in `EXAMPLES`.
      count: the number of points in [0, 1].
      seed: the seed of the random features.

    Returns:
      Xi at the points, and the true map there, (count, 1) each.

    >>> found, truth = register_line(FunctionInverse(features=1000), "square root", 200)
    >>> bool(jnp.mean(jnp.abs(found - truth)) < 0.001)
    True
    """
    A, B, truth = EXAMPLES[example]
    x = jnp.linspace(0.0, 1.0, count)[:, None]
    module = AttentionRegistration(inverse)
    found = jax.jit(lambda key: module.apply(module.init(key, A(x), B(x), x), A(x), B(x), x))(jax.random.key(seed))
    return found, truth(x)


def draw_examples(folder: str | Path) -> dict[str, float]:
    """Draw each example with each of `SETTINGS`: A and B, Xi with the true map, and the error of Xi.

    Args:
      folder: the folder of the pictures; it is made if it does not exist.

    Returns:
      The mean error of Xi for each picture, by its name without the suffix.

    Raises:
      ModuleNotFoundError: if matplotlib is not installed: pip install 'deqjax[registration]'.
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
