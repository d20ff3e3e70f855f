"""MaskedFourier and Sense: all shapes of masks and sensitivities, agreement with sigpy, and input that they reject."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_arrays import random_complex, random_smaps

from deqjax.physics import (
    Inpainting,
    MaskedFourier,
    Sense,
    add_noise,
    conjugate_symmetry,
    dot_product_gap,
    espirit,
    grappa,
    pocs,
)

SIZES = [(8, 10), (7, 9), (7, 10), (8, 9)]
COILS = 3


def mask_of_lines(width: int, *batch: int) -> jax.Array:
    """A mask of lines (1, x), or one for each image, (batch, 1, x)."""
    mask = np.random.default_rng(5).uniform(size=(*batch, 1, width)) < 0.5
    return jnp.asarray(mask, float).at[..., width // 2].set(1.0)


def shared_sense(shape: tuple[int, int]) -> Sense:
    """Sensitivities and a mask that all images share."""
    return Sense(random_smaps((COILS, *shape)), mask_of_lines(shape[1]))


def own_sense(shape: tuple[int, int], batch: int) -> Sense:
    """Sensitivities and a mask for each image."""
    return Sense(random_smaps((batch, COILS, *shape)), mask_of_lines(shape[1], batch))


def models(shape: tuple[int, int], batch: int) -> dict[str, MaskedFourier | Sense]:
    y, x = shape
    points = jnp.asarray(np.random.default_rng(7).uniform(size=shape) < 0.5, float)
    return {
        "one mask": MaskedFourier(mask_of_lines(x)),
        "flat mask": MaskedFourier(mask_of_lines(x)[0]),
        "points": MaskedFourier(points),
        "mask per image": MaskedFourier(mask_of_lines(x, batch)),
        "smaps and mask shared": shared_sense(shape),
        "flat mask, coils": Sense(random_smaps((COILS, y, x)), mask_of_lines(x)[0]),
        "points, coils": Sense(random_smaps((COILS, y, x)), points),
        "one coil": Sense(random_smaps((1, y, x)), mask_of_lines(x)),
        "smaps per image": Sense(random_smaps((batch, COILS, y, x)), mask_of_lines(x)),
        "mask per image, coils": Sense(random_smaps((COILS, y, x)), mask_of_lines(x, batch)),
        "smaps and mask per image": own_sense(shape, batch),
    }


CASES = [
    (SIZES[0], 3, False),
    (SIZES[1], 1, True),
    (SIZES[2], 3, True),
    *(pytest.param(size, batch, False, marks=pytest.mark.slow) for size in SIZES[1:] for batch in (1, 3)),
]


@pytest.mark.parametrize(("shape", "batch", "double"), CASES)
def test_adjoint_and_normal_are_exact_and_the_norm_is_at_most_one(
    shape: tuple[int, int], batch: int, double: bool
) -> None:
    with jax.enable_x64(double):
        image = random_complex((batch, *shape))
        rounding = 1e-14 if double else 1e-6
        for name, A in models(shape, batch).items():
            kspace = random_complex(jax.eval_shape(A.forward, image).shape, 1)
            measured, zero_filled, normal, again = jax.jit(
                lambda A, x, y: (A.forward(x), A.adjoint(y), A.normal(x), A.adjoint(A.forward(x)))
            )(A, image, kspace)
            gap = np.vdot(measured, kspace) - np.vdot(image, zero_filled)
            assert abs(gap) < rounding * np.linalg.norm(measured) * np.linalg.norm(kspace), name
            np.testing.assert_allclose(normal, again, atol=10 * rounding, err_msg=name)
            assert np.linalg.norm(normal) <= np.linalg.norm(image) * (1 + rounding), name


@pytest.mark.parametrize(
    ("name", "shape"), [("one mask", (7, 9)), ("smaps and mask per image", (3, 7, 9)), ("one coil", (1, 7, 9))]
)
def test_dot_product_gap_of_exact_adjoints_is_rounding(name: str, shape: tuple[int, ...], float64: None) -> None:
    assert dot_product_gap(models((7, 9), 3)[name], jax.random.key(1), shape) < 1e-14


def test_dot_product_gap_detects_a_wrong_adjoint_and_a_wrong_normal() -> None:
    class WrongAdjoint(MaskedFourier):
        def adjoint(self, kspace: jax.Array) -> jax.Array:
            return jnp.roll(super().adjoint(kspace), 1, -1)

    class WrongNormal(MaskedFourier):
        def normal(self, image: jax.Array) -> jax.Array:
            return image

    for A in (WrongAdjoint(mask_of_lines(9)), WrongNormal(mask_of_lines(9))):
        assert dot_product_gap(A, jax.random.key(1), (7, 9)) > 1e-2


def test_a_batch_equals_its_images() -> None:
    shape, batch = (7, 10), 3
    image = random_complex((batch, *shape))
    A = own_sense(shape, batch)
    one_by_one = [Sense(s, m) for s, m in zip(A.smaps, A.mask)]
    kspace = A.forward(image)
    for index, single in enumerate(one_by_one):
        np.testing.assert_allclose(kspace[index], single.forward(image[index]), atol=1e-6)
        np.testing.assert_allclose(A.adjoint(kspace)[index], single.adjoint(kspace[index]), atol=1e-6)
        np.testing.assert_allclose(A.normal(image)[index], single.normal(image[index]), atol=1e-6)


@pytest.mark.parametrize("shape", [SIZES[1], SIZES[2]])
def test_sense_equals_sigpy(shape: tuple[int, int], float64: None) -> None:
    linop = pytest.importorskip("sigpy.mri.linop")
    A = shared_sense(shape)
    image, kspace = random_complex(shape), random_complex((COILS, *shape), 1)
    weights = np.broadcast_to(A.mask, (COILS, *shape))
    reference = linop.Sense(np.asarray(A.smaps), weights=weights)
    np.testing.assert_allclose(A.forward(image), reference * np.asarray(image), atol=1e-12)
    np.testing.assert_allclose(A.adjoint(kspace), reference.H * np.asarray(kspace), atol=1e-12)
    np.testing.assert_allclose(A.normal(image), reference.H * reference * np.asarray(image), atol=1e-12)


def test_sense_with_one_uniform_coil_equals_masked_fourier() -> None:
    single = models((7, 9), 1)["one mask"]
    A = Sense(jnp.ones((1, 7, 9)), single.mask)
    image = random_complex((7, 9))
    np.testing.assert_allclose(A.forward(image)[0], single.forward(image), atol=1e-7)
    np.testing.assert_allclose(A.adjoint(A.forward(image)), single.normal(image), atol=1e-6)


def test_samples_outside_the_mask_are_ignored() -> None:
    built = models((7, 9), 1)
    for A, lead in ((built["one mask"], ()), (built["smaps and mask shared"], (COILS,))):
        kspace = random_complex((*lead, 7, 9))
        np.testing.assert_allclose(A.adjoint(kspace), A.adjoint(A.mask * kspace), atol=1e-7)
        assert jnp.all(jnp.where(A.mask == 0, A.forward(A.adjoint(kspace)), 0) == 0)


def test_forward_models_pass_through_jit_vmap_and_tree_map() -> None:
    A = own_sense((7, 9), 3)
    image = random_complex((3, 7, 9))
    expected = A.forward(image)
    np.testing.assert_allclose(jax.jit(lambda A, x: A.forward(x))(A, image), expected, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(lambda A, x: A.forward(x))(A, image), expected, atol=1e-6)
    shapes = jax.tree.map(jnp.shape, A)
    assert (type(shapes), shapes.smaps, shapes.mask) == (Sense, (3, COILS, 7, 9), (3, 1, 9))


@pytest.mark.parametrize(
    ("build", "shapes"),
    [
        (lambda: MaskedFourier(jnp.ones((2, 3), complex)), ["(2, 3)", "complex"]),
        (lambda: MaskedFourier(jnp.ones(())), ["()"]),
        (lambda: Sense(jnp.ones((7, 9)), jnp.ones((1, 9))), ["(7, 9)"]),
        (lambda: Sense(jnp.ones((2, 7, 9)), jnp.ones((1, 8))), ["(2, 7, 9)", "(1, 8)", "axis x"]),
        (lambda: Sense(jnp.ones((2, 7, 9)), jnp.ones((6, 9))), ["(2, 7, 9)", "(6, 9)", "axis y"]),
        (lambda: Sense(jnp.ones((2, 7, 9)), jnp.ones(8)), ["(2, 7, 9)", "(8,)", "axis x"]),
    ],
)
def test_wrong_arrays_raise_an_error_with_their_shapes(build: Callable[[], object], shapes: list[str]) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        build()
    assert all(shape in str(error.value) for shape in shapes), error.value


def mask_builders() -> list[Callable[[Any], Any]]:
    return [MaskedFourier, lambda mask: Sense(jnp.ones((2, 3, 4)), mask), Inpainting]


def mask_users() -> list[Callable[[Any], Any]]:
    """The functions that take a mask beside k-space; they check it before they compute anything."""
    kspace = jnp.ones((2, 3, 4), complex)
    return [
        lambda mask: conjugate_symmetry(kspace, mask),
        lambda mask: pocs(kspace, mask),
        lambda mask: grappa(kspace, mask),
        lambda mask: espirit(kspace, mask=mask),
        lambda mask: add_noise(jax.random.key(0), kspace, mask, 1.0),
    ]


@pytest.mark.parametrize("array", [jnp.asarray, np.asarray])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.int64, np.float32])
def test_masks_of_bools_and_integers_become_float32(array: Callable, dtype: type) -> None:
    for build in mask_builders():
        mask = build(array(np.array([[1, 0, 1, 1]], dtype))).mask
        assert mask.dtype == np.float32
        np.testing.assert_array_equal(mask, [[1, 0, 1, 1]])


def test_a_mask_may_be_a_list() -> None:
    for build in mask_builders():
        np.testing.assert_array_equal(build([[1, 0, 1, 1]]).forward(jnp.ones((3, 4)) + 0j)[..., 1], 0)


@pytest.mark.parametrize(
    ("mask", "advice"),
    [
        (np.array([[0, 255, 0, 255]], np.uint8), "from 0 to 255: divide it by 255"),
        (np.array([[0, 255.0, 0, 255.0]]), "from 0 to 255: divide it by 255"),
        (np.array([[0, 0.5, 0, 0.5]]), "divide it by 0.5"),
        (np.array([[0, 0.5, 1, 0]]), r"mask > 0\.5"),
        (np.array([[-1, 0, 1, 1]]), "from -1 to 1"),
        (np.array([[2, 0, 2, 2]], np.int32), "divide it by 2"),
        (np.array([[1, np.nan, 0, 0]]), "NaN or infinity"),
        (np.array([[1, np.inf, 0, 0]]), "NaN or infinity"),
        (np.array([[1e-30, 1, 0, 0]], np.float32), "from 0 to 1"),
        (np.full((3, 4), 3.0), "divide it by 3"),
        (np.array(["1", "0", "1", "1"]), "real array"),
    ],
)
def test_masks_of_other_values_raise(mask: np.ndarray, advice: str) -> None:
    for build in mask_builders() + mask_users():
        for given in [mask] if mask.dtype.kind == "U" else [mask, jnp.asarray(mask)]:
            with pytest.raises(ValueError, match=advice):
                build(given)


def test_masks_inside_jit_and_gradients_of_masks_are_not_checked() -> None:
    mask, image = jnp.array([[1.0, 0.0, 1.0, 1.0]]), jnp.ones((3, 4)) + 0j
    inside = jax.jit(lambda mask: MaskedFourier(2 * mask).normal(image))(mask)
    np.testing.assert_allclose(inside, 4 * MaskedFourier(mask).normal(image), atol=1e-6)
    energy = lambda A: jnp.sum(jnp.abs(A.forward(image)) ** 2)
    gradient = jax.grad(energy)(MaskedFourier(mask))  # holds other values than 0 and 1
    assert float(jnp.max(jnp.abs(gradient.mask))) > 1
