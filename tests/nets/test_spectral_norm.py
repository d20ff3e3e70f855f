"""The operator norm of every normalised convolution is at most its bound."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deqjax.nets import DnCNN, bound_norms, init_spectral, norm_bounds, normalise, operator_norm_bound

SHAPES = {"one": (1, 1, 3, 5), "three": (3, 3, 2, 6), "wide": (3, 3, 6, 2), "five": (5, 5, 3, 4), "flat": (3, 5, 4, 4)}


def random_params(seed: int, scale: float = 1.0) -> dict:
    rng = np.random.default_rng(seed)
    return {name: {"kernel": np.float32(scale * rng.normal(size=shape))} for name, shape in SHAPES.items()}


@pytest.fixture
def params() -> dict:
    """Kernels of several shapes that exceed the bound, a zero kernel, and a parameter that is not a kernel."""
    others = {"zero": {"kernel": np.zeros((3, 3, 2, 2), np.float32)}, "log_step_size": np.float32(0.3)}
    return jax.tree.map(jnp.asarray, random_params(0) | others)


@partial(jax.jit, static_argnums=(1, 2))
def power_method(kernels: dict, size: int, steps: int) -> dict:
    def norm(kernel: jax.Array) -> jax.Array:
        shape = (1, size, size, kernel.shape[2])
        layout = ("NHWC", "HWIO", "NHWC")
        conv = lambda x: jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)
        transpose = jax.linear_transpose(conv, jax.ShapeDtypeStruct(shape, kernel.dtype))

        def step(_: int, x: jax.Array) -> jax.Array:
            (x,) = transpose(conv(x))
            return x / jnp.maximum(jnp.linalg.norm(x.ravel()), 1e-30)

        x = jnp.asarray(np.random.default_rng(size).normal(size=shape), kernel.dtype)
        return jnp.linalg.norm(conv(jax.lax.fori_loop(0, steps, step, x / jnp.linalg.norm(x.ravel()))).ravel())

    return jax.tree.map(norm, kernels)


def true_norms(params: dict, size: int, steps: int = 200) -> dict[str, float]:
    """Estimate the norms of the zero-padded convolutions on images (size, size) by a power method on the operators."""
    kernels = {name: leaf["kernel"] for name, leaf in params.items() if isinstance(leaf, dict)}
    return {name: float(value) for name, value in power_method(kernels, size, steps).items()}


def assert_bounded(params: dict, bound: float, size: int, tight: float) -> None:
    for name, norm in true_norms(params, size).items():
        assert norm <= bound * (1 + 1e-5), (name, size)
        assert norm >= tight * bound or name == "zero", (name, size)


def test_the_power_method_of_these_tests_equals_the_dense_norm() -> None:
    kernel = jnp.asarray(np.random.default_rng(1).normal(size=(3, 3, 2, 3)), jnp.float32)
    images = jnp.eye(2 * 36).reshape(72, 6, 6, 2)
    dense = jax.lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    expected = np.linalg.norm(np.asarray(dense).reshape(72, -1), 2)
    assert true_norms({"k": {"kernel": kernel}}, 6)["k"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_fresh_drifting_and_certified_kernels_are_bounded(params: dict) -> None:
    bound = 0.7
    step = jax.jit(lambda params, vectors: normalise(params, vectors, bound))
    vectors = jax.jit(init_spectral)(params)
    bounded, vectors = step(params, vectors)
    assert_bounded(bounded, bound, 20, tight=0.85)
    for number in range(1, 31):  # changes of about 1 %, many times that of a training step
        drift = random_params(number, scale=0.01)
        params = params | {name: {"kernel": params[name]["kernel"] + drift[name]["kernel"]} for name in drift}
        bounded, vectors = step(params, vectors)
        if number in (10, 30):
            assert_bounded(bounded, bound, 20 if number == 10 else 33, tight=0.85)
    certified = jax.jit(partial(bound_norms, bound=bound))(params)
    assert_bounded(certified, bound, 20, tight=0.85)
    for name in SHAPES:
        assert jax.jit(operator_norm_bound)(certified[name]["kernel"]) <= bound * (1 + 1e-5)
    assert bounded["log_step_size"] == params["log_step_size"]
    assert not bounded["zero"]["kernel"].any()


@pytest.mark.slow
def test_the_gram_bound_is_slightly_above_the_true_norm(params: dict) -> None:
    for name, norm in true_norms(params, 33).items():
        bound, kernel = jax.jit(operator_norm_bound)(params[name]["kernel"]), np.asarray(params[name]["kernel"])
        singular = np.linalg.svd(np.fft.fft2(kernel, (96, 96), axes=(0, 1)), compute_uv=False)
        assert norm <= singular.max() * (1 + 1e-5), (
            name
        )  # the theorem of Sedghi et al., for norms that are computed independently
        assert singular.max() <= bound * (1 + 1e-6) <= 1.02 * singular.max() + 1e-30, name
        assert bound <= 1.05 * norm + 1e-30, (name, "zero padding reduces the norm little for 33 pixels")


def test_the_norm_of_the_flattened_kernel_is_not_a_bound(params: dict) -> None:
    """Flax's SpectralNorm normalises by this norm."""
    flat = {name: np.linalg.norm(params[name]["kernel"].reshape(-1, SHAPES[name][-1]), 2) for name in SHAPES}
    norms = true_norms(params, 20)
    assert norms["one"] == pytest.approx(flat["one"], rel=1e-3)
    assert all(norms[name] > 1.05 * flat[name] for name in SHAPES if name != "one"), (norms, flat)


def test_kernels_within_the_bound_do_not_change(params: dict) -> None:
    small = jax.tree.map(lambda leaf: 1e-3 * leaf, params)
    normalised = jax.jit(lambda small: normalise(small, init_spectral(small, 5), 1.0)[0])
    for same in (normalised(small), jax.jit(partial(bound_norms, bound=1.0))(small)):
        chex.assert_trees_all_equal(same, small)


@pytest.mark.parametrize("scale", [0.0, 1e-25, 1e10])
def test_kernels_of_any_size_have_finite_norms_and_gradients(scale: float) -> None:
    kernel = jnp.float32(scale) * jnp.asarray(np.random.default_rng(0).normal(size=(3, 3, 2, 3)), jnp.float32)

    def loss(kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
        params = {"kernel": kernel}
        bounded = normalise(params, init_spectral(params), 1.0)[0]["kernel"]
        return jnp.sum(bounded[0]), bounded

    gradient, bounded = jax.jit(jax.grad(loss, has_aux=True))(kernel)
    assert jnp.all(jnp.isfinite(gradient))
    assert jnp.all(jnp.isfinite(bounded))
    assert jax.jit(operator_norm_bound)(bounded) <= 1.005
    assert jnp.isfinite(jax.jit(operator_norm_bound)(kernel))


def test_the_gradient_of_normalise_equals_finite_differences(float64: None) -> None:
    rng = np.random.default_rng(0)
    kernel, weight, direction = (jnp.asarray(rng.normal(size=(3, 3, 2, 3))) for _ in range(3))
    vectors = jax.jit(partial(init_spectral, steps=300))({"kernel": kernel})
    loss = jax.jit(lambda w: jnp.sum(weight * normalise({"kernel": w}, vectors, 0.5, steps=100)[0]["kernel"]))
    h = 1e-5
    difference = (loss(kernel + h * direction) - loss(kernel - h * direction)) / (2 * h)
    gradient = jax.jit(jax.grad(loss))(kernel)
    np.testing.assert_allclose(np.vdot(gradient, direction), difference, rtol=1e-6)
    np.testing.assert_allclose(
        np.vdot(gradient, kernel), 0, atol=1e-9
    )  # the result does not depend on the scale of the kernel


def test_the_paths_are_those_of_the_net_and_only_kernels_change() -> None:
    net = DnCNN(layers=3, features=4)
    params = jax.jit(net.init)(jax.random.key(0), jnp.zeros((1, 8, 8), complex))["params"]
    vectors = jax.jit(partial(init_spectral, steps=10))(params)
    assert list(vectors) == [f"conv_{index}/kernel" for index in range(3)] == list(norm_bounds(params))
    bounded, _ = jax.jit(partial(normalise, bound=0.5))(params, vectors)
    chex.assert_trees_all_equal_structs(bounded, params)
    np.testing.assert_array_equal(bounded["conv_0"]["bias"], params["conv_0"]["bias"])
    assert not np.array_equal(bounded["conv_0"]["kernel"], params["conv_0"]["kernel"])


OTHER_SHAPES = {
    "dense": (6, 4),
    "signal": (5, 3, 2),
    "wide signal": (41, 2, 2),
    "even": (4, 2, 2, 3),
    "volume": (3, 3, 3, 2, 2),
    "23 wide": (23, 23, 1, 2),
    "25 wide": (25, 25, 1, 1),
    "31 wide": (31, 31, 2, 1),
    "63 wide": (1, 63, 1, 1),
}
"""Kernels that are not of images, or wider than the grid of frequencies or the images."""


def dense_operator(kernel: np.ndarray, size: int) -> np.ndarray:
    """The zero-padded convolution on images with this many pixels along every axis, as a matrix."""
    spatial = kernel.shape[:-2]
    points = np.stack(np.meshgrid(*[np.arange(size)] * len(spatial), indexing="ij"), -1).reshape(-1, len(spatial))
    tap = points[None] - points[:, None] + np.array([width // 2 for width in spatial], int)
    inside = ((tap >= 0) & (tap < np.array(spatial))).all(axis=-1)
    entries = kernel[tuple(np.where(inside, tap[..., axis], 0) for axis in range(len(spatial)))]
    matrix = np.where(inside[..., None, None], entries, 0)  # (out point, in point, in, out)
    return matrix.transpose(0, 3, 1, 2).reshape(len(points) * kernel.shape[-1], -1)


@pytest.mark.slow
@pytest.mark.parametrize("positive", [True, False])
def test_kernels_of_every_number_of_axes_and_width_are_bounded_for_every_size(positive: bool) -> None:
    """A kernel of positive entries has its largest gain at the frequency 0, any other one between the frequencies."""
    rng, bound = np.random.default_rng(0), 0.7
    draw = lambda shape: np.abs(rng.normal(size=shape)) if positive else rng.normal(size=shape)
    params = {name: {"kernel": np.asarray(draw(shape), np.float32)} for name, shape in OTHER_SHAPES.items()}
    run = jax.jit(lambda p: (bound_norms(p, bound), normalise(p, init_spectral(p), bound)[0]))
    reported = norm_bounds(params)
    for found in run(params):
        for name, shape in OTHER_SHAPES.items():
            kernel = np.asarray(found[name]["kernel"], float)
            sizes = {0: (1,), 1: (3, 16, 80), 2: (6, 16), 3: (2, 5)}[len(shape) - 2]
            norms = [np.linalg.norm(dense_operator(kernel, size) if len(shape) > 2 else kernel, 2) for size in sizes]
            assert max(norms) <= bound * (1 + 1e-5), name
    for name, shape in OTHER_SHAPES.items():
        axes = tuple(range(len(shape) - 2))
        fine = np.fft.fftn(params[name]["kernel"], [{1: 512, 2: 128, 3: 24}.get(len(axes), 1)] * len(axes), axes)
        largest = np.linalg.svd(fine, compute_uv=False).max()
        assert largest <= reported[f"{name}/kernel"] * (1 + 1e-5), name
        assert reported[f"{name}/kernel"] <= 1.2 * largest, (name, "the bound is not far above the norm")


@pytest.mark.slow
def test_a_net_whose_norm_cannot_be_bounded_is_refused() -> None:
    net = DnCNN(layers=3, features=4, group_norm=2)
    params = {"net": dict(net.init(jax.random.key(0), jnp.zeros((1, 8, 8), complex))["params"])}
    for refused in (params, {"net": {"embedding": jnp.ones((3, 4))}}, {"a": {"kernel": jnp.ones((2,) * 6)}}):
        for function in (init_spectral, partial(bound_norms, bound=1.0), lambda p: normalise(p, {}, 1.0)):
            with pytest.raises(ValueError, match=r"(scale|embedding|kernel) of shape .* neither a kernel nor a bias"):
                function(refused)
    assert len(norm_bounds(params)) == 3, "the card of a model still reports its convolutions"
