# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Solvers and gradients
#
# Three solvers find the same fixed point, in different numbers of evaluations.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import deqjax as dj


def f(x, args):
    """A map that contracts slowly: x and weights are (batch, 16) and (16, 16)."""
    return jnp.tanh(x @ args["weights"]) + args["input"]


key = jax.random.key(0)
weights = jax.random.normal(key, (16, 16))
args = {"weights": 0.95 * weights / jnp.linalg.norm(weights, 2), "input": jax.random.normal(key, (8, 16)) / 4}
x0 = jnp.zeros((8, 16))

# %%
solvers = {
    "Picard": dj.solvers.Picard(max_steps=200, rtol=1e-6),
    "Anderson": dj.solvers.Anderson(max_steps=200, rtol=1e-6),
    "Broyden": dj.solvers.Broyden(max_steps=200, rtol=1e-6),
}
found = {}
for name, solver in solvers.items():
    found[name], stats = dj.fixed_point(f, x0, args, solver=solver, adjoint=dj.Implicit())
    print(name, stats)
    plt.semilogy(stats.residuals[0], label=name)
plt.xlabel("evaluations of f")
plt.ylabel("relative residual")
plt.legend()
plt.show()
for x in found.values():
    np.testing.assert_allclose(x, found["Picard"], atol=1e-4)

# %% [markdown]
# The gradient of a loss with respect to the weights, by each adjoint. `Implicit` is exact; `Phantom` and `OneStep` are
# approximations that cost less.

# %%


def loss(args, adjoint):
    """The energy of the fixed point."""
    x, _ = dj.fixed_point(f, x0, args, solver=dj.solvers.Anderson(max_steps=200, rtol=1e-6), adjoint=adjoint)
    return jnp.sum(x**2)


exact = jax.grad(loss)(args, dj.Implicit())["weights"]
errors = {}
for adjoint in (dj.Phantom(steps=2), dj.Phantom(steps=8), dj.OneStep()):
    approximate = jax.grad(loss)(args, adjoint)["weights"]
    errors[str(adjoint)] = float(jnp.linalg.norm(approximate - exact) / jnp.linalg.norm(exact))
    print(f"{adjoint}: relative error {errors[str(adjoint)]:.3f}")

# %% [markdown]
# The exact gradient agrees with a finite difference along a random direction.

# %%
direction = jax.random.normal(jax.random.key(1), (16, 16))
step = 1e-2
shifted = [args | {"weights": args["weights"] + sign * step * direction / 16} for sign in (-1, 1)]
low, high = (float(loss(changed, dj.Implicit())) for changed in shifted)
slope, expected = float(jnp.sum(exact * direction)) / 16, (high - low) / (2 * step)
print(slope, expected)
assert abs(slope - expected) < 0.02 * abs(expected)
