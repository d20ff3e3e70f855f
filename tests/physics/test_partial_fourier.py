"""Completion of a partial k-space: exact for a real image, and better than zero filling for a smooth phase."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.data import phantom_image
from deqjax.masks import PartialFourier
from deqjax.physics import conjugate_symmetry, fft2c, ifft2c, pocs


def masked(mask: np.ndarray, kspace: jax.Array) -> jax.Array:
    return jnp.asarray(mask) * kspace


def scan(shape: tuple[int, int], phase: float) -> tuple[jax.Array, jax.Array]:
    """An image with a slowly varying phase, and its k-space."""
    magnitude = np.abs(phantom_image(3, (1, *shape))[0])
    y, x = (np.linspace(-1, 1, n) for n in shape)
    image = jnp.asarray(magnitude * np.exp(1j * phase * (y[:, None] + 0.5 * x[None, :] ** 2)), complex)
    return image, fft2c(image)


@pytest.mark.parametrize("complete", [conjugate_symmetry, pocs])
@pytest.mark.parametrize(("axis", "side"), [("y", "low"), ("x", "low"), ("x", "high")])
def test_completion_halves_the_error_of_zero_filling(
    complete: Callable[..., jax.Array], axis: Literal["y", "x"], side: Literal["low", "high"]
) -> None:
    shape = (45, 64)
    image, kspace = scan(shape, 0.5)
    mask = PartialFourier(0.625, side=side, axis=axis)(shape, 0)
    completed = complete(masked(mask, kspace), mask)
    error = lambda k: float(jnp.linalg.norm(ifft2c(k) - image))
    assert error(completed) < 0.5 * error(masked(mask, kspace))
    sampled = np.broadcast_to(mask, shape) > 0
    np.testing.assert_array_equal(np.asarray(completed)[sampled], np.asarray(masked(mask, kspace))[sampled])


def test_conjugate_symmetry_completes_a_real_image_exactly() -> None:
    # On an even axis, the side "high" leaves out a line without a mirror image.
    for shape, pattern in (((15, 15), PartialFourier(0.6, side="high")), ((45, 64), PartialFourier(0.6, side="low"))):
        image = jnp.asarray(np.random.default_rng(0).uniform(1, 2, size=shape), complex)
        mask = pattern(shape, 0)
        found = ifft2c(conjugate_symmetry(masked(mask, fft2c(image)), mask))
        np.testing.assert_allclose(found, image, atol=1e-5)


def test_more_pocs_steps_lower_the_error() -> None:
    image, kspace = scan((45, 64), 0.5)
    mask = PartialFourier(0.625)((45, 64), 0)
    errors = [float(jnp.linalg.norm(ifft2c(pocs(masked(mask, kspace), mask, steps)) - image)) for steps in (1, 10)]
    assert errors[0] > 1.2 * errors[1]


def test_coils_and_slices_are_completed_independently() -> None:
    _, kspace = scan((45, 64), 0.5)
    mask = PartialFourier(0.7)((45, 64), 0)
    several = masked(mask, jnp.stack([kspace, 3j * kspace])[None])
    for complete in (conjugate_symmetry, pocs):
        alone = complete(masked(mask, kspace), mask)
        np.testing.assert_allclose(complete(several, mask)[0, 1], 3j * alone, atol=1e-4)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((1, 7)), r"\(1, 7\) must broadcast against .*\(8, 8\)"),
        (np.ones((2, 8, 8)), "must broadcast"),
        (np.arange(8) < 4, "centre"),
    ],
)
def test_an_unsuitable_mask_raises(mask: np.ndarray, message: str) -> None:
    for complete in (conjugate_symmetry, pocs):
        with pytest.raises(ValueError, match=message):
            complete(jnp.ones((8, 8), complex), mask)


def test_pocs_without_steps_raises() -> None:
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        pocs(jnp.ones((8, 8), complex), np.ones((1, 8)), 0)
