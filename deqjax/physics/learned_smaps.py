"""Coil sensitivities that a network improves, trained together with the reconstruction."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from deqjax.physics.coils import rss
from deqjax.types import Net, Params


@dataclass(frozen=True)
class LearnedSmaps:
    """Refine estimated coil sensitivities, coil by coil, ``s_c <- r_c / rss(r)``, ``r_c = s_c + gain (D(s_c) - s_c)``.

    D is one net for all coils, and ``gain`` is learned and starts at 0: training starts from the sensitivities that it
    is given, as of :func:`low_resolution_smaps`. A setting of :class:`deqjax.Reconstructor`, which refines the maps of
    its forward model once, before the solve; its parameters are those under ``"smaps"``, and no bound on the iteration
    applies to them. The target of training is the root sum of squares of the coil images, in the phase that the given
    maps leave to the image: it prefers no maps, and holds the phase, which maps and image could otherwise trade.

    Source: A. Sriram et al., "End-to-end variational networks for accelerated MRI reconstruction", MICCAI 2020, section
    3.2 (sensitivity map estimation), whose net starts from the coil images before their normalisation.

    Attributes:
      net: D, for instance ``deqjax.nets.UNet(levels=3, features=8)``.

    >>> import deqjax as dj
    >>> learned = LearnedSmaps(dj.nets.DnCNN(layers=2, features=4))
    >>> smaps = jnp.full((2, 8, 8), 0.5**0.5, complex)
    >>> bool(jnp.allclose(learned(learned.init(jax.random.key(0)), smaps), smaps))
    True
    """

    net: Net

    def init(self, key: jax.Array) -> Params:
        """Make ``{"net": ..., "gain": 0}``."""
        return {"net": self.net.init(key, jnp.zeros((1, 16, 16), jnp.complex64))["params"], "gain": jnp.zeros(())}

    def __call__(self, params: Params, smaps: jax.Array) -> jax.Array:
        """Refine maps ([batch,] coil, y, x); their sum of squared magnitudes is 1 wherever they are not all 0."""
        images = smaps.reshape(-1, *smaps.shape[-2:])
        denoised = self.net.apply({"params": params["net"]}, images).reshape(smaps.shape)
        refined = smaps + params["gain"] * (denoised - smaps)
        combined = rss(refined)[..., None, :, :]
        return jnp.where(combined > 0, refined / jnp.where(combined > 0, combined, 1), 0)
