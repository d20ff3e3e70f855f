"""Checks of the arguments of a reconstruction, before anything is compiled."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.types import ForwardModel, Params


def check_measurement(A: ForwardModel, kspace: jax.Array | np.ndarray) -> None:
    """Check that k-space and a forward model fit, before anything is compiled.

    Raises:
      ValueError: the k-space is not complex, is empty, does not fit A, or holds NaN or infinity; A is no forward model;
        or the mask samples nothing. Values are checked only if they are known.

    >>> import deqjax as dj
    >>> check_measurement(dj.physics.MaskedFourier(jnp.ones((1, 8))), jnp.ones((4, 6), complex))
    Traceback (most recent call last):
    ValueError: kspace of shape (4, 6) does not fit MaskedFourier with {'mask': (1, 8)}; the axes are ...
    """
    if not (isinstance(A, ForwardModel) and dataclasses.is_dataclass(A)):
        raise ValueError(
            f"A must be a forward model, a dataclass with axes, forward, adjoint, normal and regularised_inverse, not "
            f"{type(A).__name__}; the order is recon(params, A, kspace)"
        )
    arrays = [entry.name for entry in dataclasses.fields(A) if not entry.metadata.get("static")]  # type: ignore[arg-type]
    shapes = {name: np.shape(getattr(A, name)) for name in arrays if getattr(A, name) is not None}
    mismatch = f"kspace of shape {kspace.shape} does not fit {type(A).__name__} with {shapes}"
    names = ", ".join(A.axes)
    if not jnp.iscomplexobj(kspace):
        raise ValueError(f"kspace must be complex; it has type {kspace.dtype}. Did you pass an image?")
    if kspace.size == 0:
        raise ValueError(f"kspace of shape {kspace.shape} is empty: give at least one image")
    try:
        image = jax.eval_shape(A.adjoint, kspace)
        measured = jax.eval_shape(A.forward, image)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{mismatch}; the axes are ([batch,] [coil,] {names}) and the mask is over ({names})"
        ) from error
    if measured.shape != kspace.shape:
        raise ValueError(f"{mismatch}: it measures {measured.shape}; the axes are ([batch,] [coil,] {names})")
    if len(image.shape) - len(A.axes) not in (0, 1):
        raise ValueError(f"{mismatch}: give one image, or a batch with one more leading axis; an image is ({names})")
    mask = getattr(A, "mask", None)
    with jax.ensure_compile_time_eval():  # values are checked if they are known, also inside a jit of the user
        if not isinstance(kspace, jax.core.Tracer) and not jnp.all(jnp.isfinite(kspace)):
            raise ValueError(f"kspace of shape {kspace.shape} holds NaN or infinity; find their origin first")
        if mask is not None and not isinstance(mask, jax.core.Tracer) and not jnp.any(mask):
            raise ValueError(f"the mask of shape {mask.shape} samples nothing")


def check_settings(method: Any) -> None:
    """Check that the settings of a method are plain numbers, of which JAX can compile a program.

    Raises:
      ValueError: a setting is an array.

    >>> import deqjax as dj
    >>> check_settings(dj.Reconstructor(dj.maps.PrimalDual(dj.priors.TotalVariation(), weight=jnp.ones(()))))
    Traceback (most recent call last):
    ValueError: a setting of the method is not a plain number: ...
    """
    try:
        hash(method)
    except TypeError as error:
        raise ValueError(
            f"a setting of the method is not a plain number: {error}. Use float(...), or a setting such as "
            "learn_weight=True, which makes it a parameter"
        ) from error


def check_parameters(params: Params, shapes: Params) -> None:
    """Check that the parameters of a method have the shapes that it makes. Further entries are ignored.

    Raises:
      ValueError: a parameter is missing or has another shape.

    >>> check_parameters({"map": jnp.ones(2)}, {"map": jax.ShapeDtypeStruct((3,), float)})
    Traceback (most recent call last):
    ValueError: params['map'] has shape (2,) and init makes (3,): these are the parameters of another method
    """
    found = {jax.tree_util.keystr(path): np.shape(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    for path, leaf in jax.tree_util.tree_leaves_with_path(shapes):
        name = jax.tree_util.keystr(path)
        if found.get(name) != leaf.shape:
            raise ValueError(
                f"params{name} has shape {found.get(name, 'none')} and init makes {leaf.shape}: "
                "these are the parameters of another method"
            )
