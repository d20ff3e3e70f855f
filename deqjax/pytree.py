"""Dataclasses of arrays that are JAX pytrees, and the conversions of a pytree for a solver."""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp

T = TypeVar("T")
PyTree = Any


@dataclass_transform(frozen_default=True)
def operand(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass whose fields are the leaves of a JAX pytree.

    A field declared with ``dataclasses.field(metadata={"static": True})`` belongs to the structure of the pytree. JAX
    rebuilds an operand without ``__post_init__``, because its leaves may then be gradients, shapes or other
    placeholders. The checks of ``__post_init__`` therefore see only what a caller passes to the class.

    >>> @operand
    ... class Pair:
    ...     first: jax.Array
    ...     second: jax.Array
    >>> jax.tree.map(lambda leaf: leaf + 1, Pair(jnp.zeros(2), jnp.ones(2))).second
    Array([2., 2.], dtype=float32)
    """
    cls = dataclasses.dataclass(frozen=True)(cls)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    static = tuple(field.name for field in fields if field.metadata.get("static", False))
    arrays = tuple(field.name for field in fields if field.name not in static)

    def flatten(value: T) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return tuple(getattr(value, name) for name in arrays), tuple(getattr(value, name) for name in static)

    def flatten_with_keys(value: T) -> tuple[tuple[tuple[Any, Any], ...], tuple[Any, ...]]:
        leaves, structure = flatten(value)
        return tuple((jax.tree_util.GetAttrKey(name), leaf) for name, leaf in zip(arrays, leaves)), structure

    def unflatten(structure: tuple[Any, ...], leaves: Iterable[Any]) -> T:
        value = object.__new__(cls)
        for name, entry in zip((*arrays, *static), (*leaves, *structure), strict=True):
            object.__setattr__(value, name, entry)
        return value

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls


def real_view(tree: PyTree) -> tuple[jax.Array, Callable[[jax.Array], PyTree]]:
    """Convert a batched pytree to one real matrix (batch, n), and return the inverse function.

    A complex leaf contributes first its real and then its imaginary parts, so that the inner products of rows are the
    real inner products ``Re <a, b>`` of the pytrees.

    Args:
      tree: a pytree of real and complex arrays. The first axis of every leaf is the batch.

    Returns:
      The matrix, and the function that converts such a matrix to a pytree with the structure, the shapes and the types
      of ``tree``.

    Raises:
      ValueError: there is no leaf, or the leaves have no common batch axis.

    >>> flat, restore = real_view({"image": jnp.array([[1 + 2j, 3 + 4j]])})
    >>> flat
    Array([[1., 3., 2., 4.]], dtype=float32)
    >>> restore(flat)["image"]
    Array([[1.+2.j, 3.+4.j]], dtype=complex64)
    """
    leaves, structure = jax.tree.flatten(tree)
    shapes = [leaf.shape for leaf in leaves]
    if not leaves or any(not shape or shape[0] != shapes[0][0] for shape in shapes):
        raise ValueError(f"every leaf needs the same leading batch axis; the leaves have the shapes {shapes}")
    batch = shapes[0][0]
    parts = [
        part.reshape(batch, -1)
        for leaf in leaves
        for part in ((leaf.real, leaf.imag) if jnp.iscomplexobj(leaf) else (leaf,))
    ]
    dtypes = [leaf.dtype for leaf in leaves]

    def restore(flat: jax.Array) -> PyTree:
        restored, start = [], 0
        for shape, dtype in zip(shapes, dtypes, strict=True):
            size = math.prod(shape[1:])
            parts = 2 if jnp.issubdtype(dtype, jnp.complexfloating) else 1
            columns = flat[:, start : start + parts * size].reshape(shape[0], parts, *shape[1:])
            leaf = jax.lax.complex(columns[:, 0], columns[:, 1]) if parts == 2 else columns[:, 0]
            restored.append(leaf.astype(dtype))
            start += parts * size
        return jax.tree.unflatten(structure, restored)

    return jnp.concatenate(parts, axis=1), restore


def in_solver_precision(tree: PyTree) -> tuple[PyTree, Callable[[PyTree], PyTree]]:
    """Convert the leaves to types in which a solver can work, and return the function that converts a solution back.

    A leaf of half precision becomes float32, and the solution is converted back. A leaf of whole numbers becomes a
    floating-point leaf, and so does the solution. Every other leaf keeps its type.

    Raises:
      ValueError: a leaf is neither real, complex nor integer, or is empty.

    >>> converted, as_given = in_solver_precision((jnp.ones(2, jnp.bfloat16), jnp.ones(2, int)))
    >>> [leaf.dtype.name for leaf in converted], [leaf.dtype.name for leaf in as_given(converted)]
    (['float32', 'float32'], ['bfloat16', 'float32'])
    """
    leaves, structure = jax.tree.flatten(tree)
    try:
        given = [jnp.asarray(leaf) for leaf in leaves]
    except (TypeError, ValueError) as error:
        raise ValueError(f"every leaf of the first iterate must be an array; {error}") from error
    for leaf in given:
        if not jnp.issubdtype(leaf.dtype, jnp.number):
            raise ValueError(f"every leaf of the first iterate must be real or complex; one has the type {leaf.dtype}")
        if leaf.size == 0:
            raise ValueError(f"a leaf of the first iterate has the shape {leaf.shape}, which is empty")
    whole = [jnp.issubdtype(leaf.dtype, jnp.integer) for leaf in given]
    half = [not integer and jnp.finfo(leaf.dtype).bits < 32 for leaf, integer in zip(given, whole)]
    converted = [
        leaf.astype(jnp.float32) if narrow else leaf.astype(float) if integer else leaf
        for leaf, integer, narrow in zip(given, whole, half)
    ]

    def as_given(solution: PyTree) -> PyTree:
        pairs = zip(jax.tree.leaves(solution), given, half, strict=True)
        return jax.tree.unflatten(structure, [new.astype(old.dtype) if narrow else new for new, old, narrow in pairs])

    return jax.tree.unflatten(structure, converted), as_given


class Parts(NamedTuple):
    """A state whose parts are variables of different kinds, such as an image and features: each part counts equally.

    A solver works on such a state in units in which every part has a root mean square near 1, so that no part dominates
    its inner products. The relative residual of the state is the largest of those of its parts.

    >>> jax.tree.map(jnp.shape, Parts((jnp.ones((1, 8)), jnp.ones((1, 2, 4)))))
    Parts(values=((1, 8), (1, 2, 4)))
    """

    values: tuple[Any, ...]
