"""The best answer under each loss when the phase, or the direction of a displacement, is uncertain.

The target is ``e^(i t)`` with t normal of standard deviation s. The best constant answer has the phase 0; its magnitude
is what a network learns that cannot know t.
"""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from deqjax.losses import l1, mse, perpendicular
from deqjax.registration.grid import Grid
from deqjax.registration.similarities import PerpendicularField

ANGLES = norm.ppf((np.arange(1000) + 0.5) / 1000)
"""The quantiles of a normal distribution stand for its samples."""


def best_magnitude(loss, spread):
    target = jnp.exp(1j * spread * ANGLES)
    return minimize_scalar(
        lambda r: float(loss(jnp.full(1000, r + 0j), target)), bounds=(0.05, 1.5), method="bounded"
    ).x


def of_fields(image, target):
    """The loss of displacement fields (1000, 1, 2) with the components of the complex arguments."""
    fixed, warped = (jnp.stack([values.real, values.imag], axis=-1)[:, None] for values in (target, image))
    return PerpendicularField()(fixed, warped, jnp.ones((1000, 1)), Grid.of((1000, 1)))


@pytest.mark.parametrize("spread", [0.2, 0.5, 1.0])
def test_the_magnitude_shrinks_under_mse_and_not_under_the_perpendicular_loss(spread):
    assert best_magnitude(mse, spread) == pytest.approx(np.exp(-(spread**2) / 2), abs=2e-3)
    assert best_magnitude(perpendicular, spread) == pytest.approx(1, abs=2e-3)
    assert best_magnitude(of_fields, spread) == pytest.approx(1, abs=2e-3)


def test_the_numbers_of_the_documentation():
    """The biases that docs/studies.md states for a spread of 0.5 radians."""
    assert [round(best_magnitude(loss, 0.5) - 1, 2) for loss in (mse, l1)] == [-0.12, -0.04]
