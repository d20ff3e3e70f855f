"""Completion of a partial k-space: exact for a real image, and better than zero filling for a smooth phase."""

from collections.abc import Callable
from typing import Any, Literal

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


def smooth_scan(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """An ellipse with a smooth phase, and its k-space."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    magnitude = ((x / 0.69) ** 2 + (y / 0.92) ** 2 <= 1) - 0.7 * ((x / 0.6) ** 2 + (y / 0.8) ** 2 <= 1)
    image = magnitude * np.exp(1j * (x + 0.7 * y**2 + 0.8 * np.sin(2 * x * y)))
    return image, np.asarray(fft2c(jnp.asarray(image, jnp.complex64)))


@pytest.mark.parametrize("size", [64, 65, 96, 128])
@pytest.mark.parametrize("fraction", [0.5625, 0.625])
@pytest.mark.parametrize("axis", ["y", "x"])
def test_lines_outside_the_measured_centre_do_not_change_the_phase(size: int, fraction: float, axis: Any) -> None:
    image, kspace = smooth_scan((size, size))
    low = PartialFourier(fraction, "low", axis)((size, size), 0)
    without_edge = low.copy()  # line 0 of an even number of lines is its own mirror image
    without_edge.reshape(-1)[0] = 0
    with_pair = low.copy()  # an isolated line beyond the measured half
    with_pair.reshape(-1)[-2] = 1
    errors = []
    for mask in (low, without_edge, with_pair):
        for complete in (pocs, conjugate_symmetry):
            found = ifft2c(complete(masked(mask, jnp.asarray(kspace)), mask))
            errors.append(float(jnp.linalg.norm(found - image) / np.linalg.norm(image)))
    if size % 2 == 0:
        np.testing.assert_allclose(errors[2:4], errors[:2], rtol=0.25)
    assert errors[4] < 1.3 * errors[0]
    assert errors[5] < 1.3 * errors[1]


@pytest.mark.parametrize("complete", [conjugate_symmetry, pocs])
def test_the_units_do_not_matter(complete: Callable[..., jax.Array]) -> None:
    _, kspace = scan((45, 64), 0.5)
    mask = PartialFourier(0.625)((45, 64), 0)
    expected = complete(masked(mask, kspace), mask)
    for exponent in (-90, -40, 40, 90):
        scale = jnp.float32(2.0**exponent)
        np.testing.assert_allclose(complete(masked(mask, scale * kspace), mask) / scale, expected, rtol=1e-4, atol=1e-4)


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
        np.testing.assert_allclose(complete(several, mask)[0, 1], 3j * alone, atol=5e-4)


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
