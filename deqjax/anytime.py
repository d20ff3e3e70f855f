"""Reconstruction within a budget: the best image so far, at the cost of the images that have not finished."""

import dataclasses
import itertools
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from deqjax.physics import with_whole_mask
from deqjax.pytree import in_solver_precision
from deqjax.solvers import Stats
from deqjax.solvers.loop import Progress, advance, begin, solution
from deqjax.types import ForwardModel, MapArgs, Params, Units


@dataclass(frozen=True)
class Anytime:
    """A reconstruction method with a budget, made by :meth:`deqjax.Reconstructor.with_budget` and called like it.

    The solve runs in chunks of a few evaluations, on the whole batch at first. Between two chunks, the images that have
    finished leave the batch, so that they cost nothing more. The others are gathered into one or more batches whose
    sizes are powers of two, so that few programs are compiled. Every image takes the steps that it takes alone.

    Attributes:
      recon: the :class:`~deqjax.Reconstructor`.
      seconds: the wall-clock time of a call. The clock is read between chunks; no chunk begins that would end late if
        it took as long as the last one. Compilation is included: call once with the same shapes to compile. At least
        one chunk runs, and the last step to the image (``finish``) comes on top.
      max_steps: the number of evaluations for each image; that of the solver by default.
      tolerance: the relative residual at which an image has finished; that of the solver by default.
      chunk: the number of evaluations between two looks at the batch.

    Raises:
      ValueError: a setting is not positive.

    >>> import deqjax as dj
    >>> recon = dj.Reconstructor(dj.maps.PrimalDual(dj.priors.TotalVariation()))
    >>> A = dj.physics.MaskedFourier(np.array([[1.0, 0.0, 1.0, 1.0]]))
    >>> image, stats = Anytime(recon, max_steps=3)({}, A, A.forward(np.eye(4) + 0j))
    >>> image.shape, int(stats.num_steps)
    ((4, 4), 3)
    """

    recon: Any
    seconds: float | None = None
    max_steps: int | None = None
    tolerance: float | None = None
    chunk: int = 2

    def __post_init__(self) -> None:
        for name in ("seconds", "max_steps", "tolerance", "chunk"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive; it is {value}")

    def __call__(self, params: Params, A: ForwardModel, kspace: jax.Array) -> tuple[jax.Array, Stats]:
        """Reconstruct one image, or a batch, within the budget; see :meth:`deqjax.Reconstructor.__call__`.

        Returns:
          The image and the Stats, of the iterate with the smallest residual of each image when the budget ended.

        Raises:
          ValueError: the call is inside jit, vmap or grad, or for the reasons of a call of the method.
        """
        began = time.perf_counter()
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((params, A, kspace))):
            raise ValueError("a budget is checked between compiled parts and cannot be traced: call it outside jit")
        recon = self._method()
        limit = recon.solver.max_steps if self.max_steps is None else self.max_steps
        kspace = recon.checked(params, A, kspace)
        args, units, progress = _begin(recon, params, with_whole_mask(A, kspace), kspace)
        pieces, finished = [_Piece(np.arange(len(progress.active)), args._replace(params=None), progress)], []
        batched = _batched(args.A, args.zero_filled)
        step, late = 0, False
        while pieces and step < limit and not late:
            chunk_began, step = time.perf_counter(), min(step + self.chunk, limit)
            pieces = [
                piece._replace(progress=_advance(recon, params.get("map", {}), piece.args, piece.progress, step))
                for piece in pieces
            ]
            pieces, done = _compact(pieces, batched)  # waits for the chunk
            finished += done
            now = time.perf_counter()
            late = self.seconds is not None and now - began + (now - chunk_began) > self.seconds
        results = [*finished, *map(_result, pieces)]
        numbers = np.concatenate([piece.numbers for piece in results])
        order = np.argsort(numbers, kind="stable")[np.count_nonzero(numbers < 0) :]
        progress = _rows(results, batched, order).progress
        single = jax.eval_shape(A.adjoint, kspace).ndim == len(A.axes)
        return _end(recon, params, args, units, progress, single)

    def _method(self) -> Any:
        solver = self.recon.solver
        if self.tolerance is not None:
            solver = dataclasses.replace(solver, rtol=self.tolerance)
        if self.max_steps is not None and self.max_steps > solver.max_steps:
            solver = dataclasses.replace(solver, max_steps=self.max_steps)
        return self.recon.replace(solver=solver)


class _Piece(NamedTuple):
    """Some images of the batch. ``numbers`` holds their places in it, and -1 for a copy that only fills the piece."""

    numbers: np.ndarray
    args: Any
    """The arguments of the map without its parameters, which all pieces share; None after the solve."""
    progress: Any


@partial(jax.jit, static_argnums=0)
def _begin(recon: Any, params: Params, A: ForwardModel, kspace: jax.Array) -> tuple[MapArgs, Units, Progress]:
    A = recon.forward_model(params, A)
    zero_filled = A.adjoint(kspace)
    zero_filled = zero_filled[None] if zero_filled.ndim == len(A.axes) else zero_filled
    args, units = recon.arguments(params, A, zero_filled)
    first, _ = in_solver_precision(recon.first_state(params, args))
    return args, units, begin(first, recon.solver)


@partial(jax.jit, static_argnums=0)
def _advance(recon: Any, params: Params, args: MapArgs, progress: Progress, until: int) -> Progress:
    args = args._replace(params=params)
    like, _ = in_solver_precision(recon.map.start(args))
    return advance(lambda x: recon.map(x, args), progress, like, recon.solver, until)


@partial(jax.jit, static_argnums=(0, 5))
def _end(
    recon: Any, params: Params, args: MapArgs, units: Units, progress: Progress, single: bool
) -> tuple[jax.Array, Stats]:
    like, as_given = in_solver_precision(recon.map.start(args))
    state, stats = solution(progress, like, recon.solver)
    image = units.undo(recon.image(params, as_given(state), args))
    return jax.tree.map(lambda leaf: leaf[0], (image, stats)) if single else (image, stats)


def _batched(A: ForwardModel, image: jax.Array) -> list[bool]:
    """Return which leaves of a forward model have the batch axis of the images, found from shapes alone.

    A leaf has it if the model still works for another number of images when this leaf has that number of rows too.
    """
    leaves, structure = jax.tree.flatten(A)
    restore = lambda leaves: jax.tree.unflatten(structure, leaves)
    measured = jax.eval_shape(lambda A, image: A.forward(image), A, image).shape
    other = 1 + max(max(leaf.shape, default=0) for leaf in (*leaves, image))

    def works(choice: tuple[bool, ...]) -> bool:
        resized = [
            jax.ShapeDtypeStruct((other, *leaf.shape[1:]), leaf.dtype) if has else leaf
            for leaf, has in zip(leaves, choice)
        ]
        images = jax.ShapeDtypeStruct((other, *image.shape[1:]), image.dtype)
        try:
            found = jax.eval_shape(lambda A, image: A.forward(image), restore(resized), images)
        except (TypeError, ValueError):
            return False
        return found.shape == (other, *measured[1:])

    possible = [(True, False) if leaf.shape[:1] == image.shape[:1] else (False,) for leaf in leaves]
    return list(next(choice for choice in itertools.product(*possible) if works(choice)))


def piece_sizes(count: int) -> list[int]:
    """Return powers of two of which the sum is ``count`` or, in the last one, at most an eighth of it more.

    >>> piece_sizes(16), piece_sizes(14), piece_sizes(11), piece_sizes(0)
    ([16], [16], [8, 2, 1], [])
    """
    if count == 0:
        return []
    whole = 1 << (count - 1).bit_length()
    return [whole] if 8 * count >= 7 * whole else [whole // 2, *piece_sizes(count - whole // 2)]


def _compact(pieces: list[_Piece], batched: list[bool]) -> tuple[list[_Piece], list[_Piece]]:
    """Gather the images that have not finished into fewer rows, and return the pieces and what has finished.

    Nothing is moved if that would not save a row.
    """
    active = np.concatenate([np.asarray(piece.progress.active) for piece in pieces])
    count, sizes = int(active.sum()), piece_sizes(int(active.sum()))
    if sum(sizes) >= len(active):
        return pieces, []
    done = _rows([_result(piece) for piece in pieces], batched, np.flatnonzero(~active))
    if not sizes:
        return [], [done]
    rest = _rows(pieces, batched, np.resize(np.flatnonzero(active), sum(sizes)))
    filling = np.arange(sum(sizes)) >= count
    rest = rest._replace(numbers=np.where(filling, -1, rest.numbers), progress=rest.progress._replace(active=~filling))
    ends = np.cumsum(sizes)
    return [_rows([rest], batched, np.arange(end - size, end)) for end, size in zip(ends, sizes)], [done]


def _result(piece: _Piece) -> _Piece:
    """Leave out what only the next step of the solve needs."""
    return piece._replace(args=None, progress=piece.progress._replace(x=None, solver_state=None))


def _rows(pieces: list[_Piece], batched: list[bool], rows: np.ndarray) -> _Piece:
    """Take rows of the pieces one below the other. This is done on the host, where it compiles nothing."""
    first: Any = pieces[0]
    args = first.args
    if args is not None:  # all images have their zero-filled image and their start; a part of A may be shared
        in_model = iter(batched)
        args = jax.tree.map(lambda _: True, args)._replace(A=jax.tree.map(lambda _: next(in_model), args.A))
    has_rows = first._replace(
        numbers=np.True_,
        args=args,
        progress=jax.tree.map(lambda leaf: np.ndim(leaf) > 0, first.progress),
    )

    def take(has: bool, *leaves: Any) -> Any:
        return np.concatenate(leaves)[rows] if has else leaves[0]

    return jax.tree.map(take, has_rows, *pieces)
