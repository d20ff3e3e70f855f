# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Registration by attention, on a line
#
# B(x) = x + 0.07 sin(3 pi x) is fixed, and A is moving. Attention from the values of B to the values of A finds
# Xi = A^-1 o B, the map with A(Xi(x)) = B(x). `deqjax attention FOLDER` draws the same pictures.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from deqjax.registration.attention.line_examples import draw_examples

folder = Path(tempfile.mkdtemp())
errors = draw_examples(folder)

# %% [markdown]
# Each picture shows the two functions; the features of their values, which are random sines; the attention matrix, a
# softmax of the agreement of the features, which follows the graph of Xi; the inverse of A and Xi with their closed
# forms; and the error of Xi. With 100 frequencies and 100 points the error is about a grid step; with 1000 of both, and
# sines together with cosines, it is far below.

# %%
for name, error in errors.items():
    print(f"{name}: mean error {error:.5f}")
    plt.figure(figsize=(15, 7)).add_axes((0, 0, 1, 1)).imshow(plt.imread(folder / f"{name}.png"))
    plt.axis("off")
    plt.show()
assert max(errors.values()) < 0.004
