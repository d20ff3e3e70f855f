"""Examples of registration by attention: functions of a line whose maps are known, drawn in four pictures."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.atomic_write import atomic_file
from deqjax.registration.attention.function_inverse import AttentionRegistration, FunctionInverse

EXAMPLES = {
    "square root": (jnp.square, jnp.sqrt),
    "cosine": (lambda x: jnp.cos(x * jnp.pi / 2), lambda v: jnp.arccos(v) * 2 / jnp.pi),
}
"""A and its inverse, on [0, 1]."""

SETTINGS = {
    "as given": (FunctionInverse(features=100, scale=59.0, cosine=False, temperature=1.0), 100),
    "sine and cosine": (FunctionInverse(features=1000, scale=59.0, temperature=5.0), 1000),
}
"""The module that inverts A, and the number of points."""


def fixed_function(x: jax.Array) -> jax.Array:
    """Return the fixed image of the examples, ``B(x) = x + 0.07 sin(3 pi x)``, which grows from 0 to 1 on [0, 1].

    >>> fixed_function(jnp.array([0.0, 0.5, 1.0])).round(3)
    Array([0.  , 0.43, 1.  ], dtype=float32)
    """
    return jnp.clip(x + 0.07 * jnp.sin(3 * jnp.pi * x), 0, 1)  # rounding must not leave the domain of A^-1


def register_line(inverse: FunctionInverse, example: str, count: int, seed: int = 0) -> tuple[jax.Array, jax.Array]:
    """Find ``Xi = A^-1 o B`` of an example.

    Args:
      inverse: the module that inverts A.
      example: a name in `EXAMPLES`.
      count: the number of points in [0, 1].
      seed: the seed of the random features.

    Returns:
      Xi at the points, and its closed form there, (count, 1) each.

    >>> found, truth = register_line(FunctionInverse(features=1000), "square root", 200)
    >>> bool(jnp.mean(jnp.abs(found - truth)) < 0.001)
    True
    """
    A, A_inverse = EXAMPLES[example]
    x = jnp.linspace(0.0, 1.0, count)[:, None]
    module, moving, fixed = AttentionRegistration(inverse), A(x), fixed_function(x)
    found = jax.jit(lambda key: module.apply(module.init(key, moving, fixed, x), moving, fixed, x))(
        jax.random.key(seed)
    )
    return found, A_inverse(fixed)


def draw_examples(folder: str | Path) -> dict[str, float]:
    """Draw each example with each of `SETTINGS`.

    A picture shows A and B, the feature maps of both, the attention matrix, the inverse of A and Xi with their closed
    forms, and the error of Xi.

    Args:
      folder: the folder of the pictures; it is made if it does not exist.

    Returns:
      The mean error of Xi for each picture, by its name without the suffix.

    Raises:
      ModuleNotFoundError: if matplotlib is not installed: pip install 'deqjax[registration]'.
    """
    folder, errors = Path(folder), {}
    folder.mkdir(parents=True, exist_ok=True)
    for example in EXAMPLES:
        for setting, (inverse, count) in SETTINGS.items():
            name = f"{example}, {setting}".replace(" ", "_").replace(",", "")
            figure, errors[name] = _draw(example, setting, inverse, count)
            with atomic_file(folder / f"{name}.png", overwrite=True) as temporary:
                figure.savefig(temporary, dpi=110)
    return errors


def _draw(example: str, setting: str, inverse: FunctionInverse, count: int) -> tuple[Any, float]:
    from matplotlib.figure import Figure

    A, A_inverse = EXAMPLES[example]
    x = jnp.linspace(0.0, 1.0, count)[:, None]
    moving, fixed = A(x), fixed_function(x)
    found, truth = register_line(inverse, example, count)
    # The module of register_line has the same parameters: those of its part with the name "inverse".
    parameters = AttentionRegistration(inverse).init(jax.random.key(0), moving, fixed, x)["params"]["inverse"]
    attention: Any = inverse.apply({"params": parameters}, moving, x, fixed, method="attention")
    inverted = inverse.apply({"params": parameters}, moving, x, x)
    line = np.linspace(0, 1, count)
    mean = float(jnp.mean(jnp.abs(found - truth)))

    figure = Figure(figsize=(15, 7), layout="constrained")
    panels = figure.subplots(2, 4)
    (functions, moving_map, fixed_map, matrix), (inverses, maps, error, empty) = panels
    empty.set_axis_off()
    functions.plot(line, moving, label="A(x), moving")
    functions.plot(line, fixed, label="B(x) = x + 0.07 sin(3 pi x), fixed")
    functions.set(xlabel="x", title="the two functions", ylim=(-0.05, 1.4))  # room for the legend
    some = min(40, attention.point_features.shape[1])
    for axes, features, name in (
        (moving_map, attention.point_features, "A"),
        (fixed_map, attention.query_features, "B"),
    ):
        shown = axes.imshow(np.asarray(features[:, :some]).T, aspect="auto", extent=(0, 1, some, 0), cmap="RdBu")
        axes.set(xlabel="x", ylabel="feature", title=f"features of {name}, the first {some}")
        figure.colorbar(shown, ax=axes)
    shown = matrix.imshow(np.asarray(attention.weights) ** 0.5, extent=(0, 1, 1, 0), cmap="magma")
    matrix.plot(np.asarray(truth), line, "--", color="#7df9ff", lw=1, label="closed form of Xi")
    matrix.set(xlabel="x_i, point of A", ylabel="x, point of B", title="attention, square root of the weights")
    figure.colorbar(shown, ax=matrix)
    for axes, values, expected, name in (
        (inverses, inverted, A_inverse(x), "inverse of A"),
        (maps, found, truth, "Xi, with A(Xi(x)) = B(x)"),
    ):
        axes.plot(line, values, label="found by attention")
        axes.plot(line, expected, "--", label="closed form")
        axes.set(xlabel="v" if axes is inverses else "x", title=name)
    error.plot(line, np.asarray(found - truth)[:, 0])
    error.set(xlabel="x", title=f"error of Xi, mean {mean:.5f}")
    for axes in (functions, matrix, inverses, maps):
        axes.legend(fontsize=8)
    figure.suptitle(f"{example}, {setting}: {inverse.features} frequencies, {count} points")
    return figure, mean
