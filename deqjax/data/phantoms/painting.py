"""Painting the tissues of an invented head: their brightness, their texture and their edges."""

import numpy as np

from deqjax.data.phantoms.anatomy import Anatomy
from deqjax.data.random_fields import smoothed_noise

PALETTES = np.array(
    [  # fat, skull, marrow, CSF, grey, white, nuclei, lesion, vessel
        [0.95, 0.04, 0.55, 0.14, 0.47, 0.72, 0.56, 0.36, 0.10],  # T1-weighted
        [0.60, 0.04, 0.35, 1.00, 0.56, 0.38, 0.44, 0.84, 0.05],  # T2-weighted
        [0.75, 0.06, 0.45, 0.72, 0.84, 0.64, 0.74, 0.90, 0.12],  # proton density
        [0.70, 0.04, 0.40, 0.08, 0.66, 0.48, 0.58, 1.00, 0.10],  # FLAIR
        [0.90, 0.04, 0.50, 0.16, 0.50, 0.68, 0.56, 0.85, 1.00],  # T1-weighted with contrast agent
    ]
)
"""(contrast, tissue): the brightness of each tissue in five usual contrasts."""


def paint_tissues(rng: np.random.Generator, parts: Anatomy, pixel: float) -> np.ndarray:
    """Paint the tissues over each other from the outside inwards, with edges that are one pixel wide.

    The contrast is one of the five of ``PALETTES``, with a random error of about 8 % in each value.

    Args:
      rng: the generator of the contrast and of the texture.
      parts: the signed distances from `invent_anatomy`.
      pixel: the size of a pixel, in the unit of these distances.

    Returns:
      The magnitude (slice, y, x), about 0 to 1.

    >>> from deqjax.data.phantoms.anatomy import head_coordinates, invent_anatomy
    >>> points, pixel = head_coordinates((1, 32, 32))
    >>> parts = invent_anatomy(np.random.default_rng(0), points, pixel)
    >>> paint_tissues(np.random.default_rng(0), parts, pixel).shape
    (1, 32, 32)
    """
    values = PALETTES[rng.integers(len(PALETTES))] * rng.normal(1, 0.08, PALETTES.shape[1])
    fat, skull, marrow, fluid, grey, white, nuclei, lesion, vessel = values.astype(np.float32)
    coarse, fine = (smoothed_noise(rng, parts.head.shape, width) for width in (2.2, 0.8))
    sulcus, ribbon = 0.006 * rng.uniform(0.6, 2.0), 0.042 * rng.normal(1, 0.08)
    skin, scalp, table = 0.012, 0.045, 0.016
    inside_brain = parts.brain - 0.014
    layers = (
        (parts.head, 0.6 * fat + 0.15),
        (parts.head - skin, fat * (1 + 0.10 * coarse)),
        (parts.head - scalp, skull),
        (np.minimum(parts.head - scalp - table, -(parts.brain + 0.8 * table)), marrow * (1 + 0.15 * coarse)),
        (parts.brain, fluid * (1 + 0.03 * coarse)),
        (np.minimum(parts.fold - sulcus, inside_brain), grey * (1 + 0.035 * fine + 0.03 * coarse)),
        (np.minimum(parts.fold - sulcus - ribbon, inside_brain), white * (1 + 0.02 * fine + 0.03 * coarse)),
        (np.minimum(parts.nuclei, inside_brain), nuclei * (1 + 0.03 * fine + 0.03 * coarse)),
        (np.minimum(parts.lesion, parts.fold - sulcus), lesion * (1 + 0.08 * coarse)),
        (np.minimum(parts.ventricle, inside_brain), fluid),
        (np.minimum(parts.vessel, parts.head - scalp), vessel),
    )
    image = np.zeros(parts.head.shape, np.float32)
    for distance, value in layers:
        cover = np.clip(0.5 + distance / np.float32(pixel), 0, 1)
        image += cover * (value - image)
    return image
