"""The domain of a model that is trained: the conditions of its training and validation examples."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from deqjax.config import Config
from deqjax.data import Acquisitions, Augment, Batch, Slices, batch_at
from deqjax.domain import Conditions, Domain, domain_of, measure_conditions
from deqjax.objectives import Acquisition, Measurement, measurement
from deqjax.physics import ifft2c

EXAMPLES = 16
"""The number of training examples that are measured when a model is saved; of the validation, half as many slices."""


def training_domain(config: Config, training: Slices, held_out: Slices, measured: bool = False) -> Domain:
    """Measure the domain of the training that a config describes, from the batches of its first steps.

    Args:
      config: the config.
      training: its training slices.
      held_out: its validation slices.
      measured: whether the training had no targets, so that the slices may be undersampled.
    """
    conditions = measured_conditions if measured else training_conditions
    return domain_of(config.title, conditions(config, training, held_out))


def measured_conditions(config: Config, training: Slices, held_out: Slices) -> Iterator[Conditions]:
    """Measure the conditions of training examples and of validation slices that may be undersampled."""
    data, fraction = config.data, config.mask.calibration_fraction
    for slices, examples in ((training, EXAMPLES), (held_out, EXAMPLES // 2)):
        acquisitions = Acquisitions(slices, config.mask, data.noise, config.seed)
        augment = data.augment if slices is training else Augment()
        for step in range(examples):
            batch = acquisitions.batch(1, augment, config.seed, step)
            kspace = jnp.asarray(batch.kspace)
            yield conditions_of(measurement(ifft2c(kspace), kspace, batch.mask, fraction), batch.mask)


def training_conditions(
    config: Config, training: Slices, held_out: Slices, examples: int = EXAMPLES
) -> Iterator[Conditions]:
    """Measure the conditions of training examples and of validation slices, as the training acquires them."""
    acquire = Acquisition(config.data.noise, config.mask.calibration_fraction)
    key = jax.random.key(config.seed)
    for step in range(examples):
        batch = batch_at(training, config.mask, 1, config.data.augment, config.seed, step)
        yield conditions_of(acquire(batch, jax.random.fold_in(key, step)[None]), batch.mask)
    for i in sorted({int(i) for i in np.linspace(0, len(held_out) - 1, examples // 2)}):
        kspace = held_out.example(i)
        batch = Batch(kspace[None], config.mask(kspace.shape, (config.seed, i))[None])
        yield conditions_of(acquire(batch, jax.random.fold_in(key, examples + i)[None]), batch.mask)


def conditions_of(measured: Measurement, mask: jax.Array | np.ndarray) -> Conditions:
    """Measure the conditions of an acquisition."""
    kspace, zero_filled = (np.asarray(a) for a in (measured.kspace, measured.A.adjoint(measured.kspace)))
    return measure_conditions(kspace, np.asarray(mask), zero_filled)
