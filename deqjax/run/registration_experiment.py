"""The experiment of a registration network, and its config."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from deqjax import model_folders
from deqjax.config import CHOICES, Choices, Phase, RunSettings, Trust, build, read_table, to_toml
from deqjax.registration import nets, objectives, regularizers, similarities
from deqjax.registration.learning import PairBatch, RegistrationProblem, pair_at
from deqjax.registration.trained_networks import find_network
from deqjax.registration.types import Network, Regularizer, Similarity
from deqjax.run.experiment import Experiment, TrainingPhase, optimizer_of
from deqjax.run.registration_evaluation import evaluate_network, mean_ncc
from deqjax.run.registration_images import Images, read_images
from deqjax.types import Objective, Params

REGISTRATION_CHOICES: Choices = {
    **CHOICES,
    Network: nets,
    Similarity: similarities,
    Regularizer: regularizers,
    Objective: objectives,
}
"""Where the names in a registration config come from."""


@dataclass(frozen=True)
class RegistrationConfig:
    """One experiment with a registration network.

    ``inference``, if given, is the network that is evaluated with the trained parameters, for example the same network
    with more passes. ``phase`` lists the phases of training, ``[[phase]]`` in TOML.
    """

    title: str
    network: Network
    paper: str = ""
    out: str = ""
    seed: int = 0
    data: Images = field(default_factory=Images)
    inference: Network | None = None
    run: RunSettings = field(default_factory=RunSettings)
    phase: tuple[Phase, ...] = ()


def read_registration_config(
    path: str | Path, overrides: Sequence[str] = (), trust: Trust | None = None
) -> RegistrationConfig:
    """Read the config of a registration experiment from a TOML file; see :func:`deqjax.config.read_config`."""
    table = read_table(path, overrides)
    for phase in table.get("phase", []):
        phase["objective"] = {"type": "Unsupervised"} | phase.get("objective", {})
    return build(RegistrationConfig, table, str(path), REGISTRATION_CHOICES, trust)


def evaluate_registration(
    name: str | Path, overrides: Sequence[str], out: Path, command: str, *, trust_code: bool = False
) -> None:
    """Evaluate a registration model on the validation images of its config.

    Args:
      name: the folder of the model.
      overrides: changes of its config.
      out: the folder for the results, which must not exist or be empty.
      command: the command line, for the page.
      trust_code: whether the config may import classes of the form ``module:Class``.

    Raises:
      ValueError: a file is missing or cannot be read, or the parameters belong to another network.
    """
    folder = model_folders.check_model_folder(find_network(name))
    trust = Trust.here() if trust_code else None
    config = read_registration_config(folder / model_folders.CONFIG, overrides, trust)
    registration_experiment(config).evaluate(folder, out, command)


def registration_experiment(config: RegistrationConfig, images: np.ndarray | None = None) -> Experiment:
    """Make the experiment of a registration config.

    Args:
      config: the config.
      images: training and validation images in memory, (n, x, y[, z]), in place of the files of the config.

    Raises:
      ValueError: a file is missing or cannot be read, or the images do not lie on one grid.
    """
    if config.run.spectral_bound:
        raise ValueError("run.spectral_bound bounds the map of a reconstruction; leave it 0 for a registration network")
    if config.run.init_from:
        raise ValueError("run.init_from names a reconstruction model; leave it empty for a registration network")
    training, held_out, grid, labels = read_images(config.data, images)
    network = config.network
    problem = RegistrationProblem(network, grid, 0 if labels is None else int(labels.max()))

    def training_phase(phase: Phase) -> TrainingPhase:
        def batch(step: int) -> PairBatch:
            pairs = pair_at(len(training), phase.batch_size, config.seed, step)
            both = (training,) if labels is None else (training, labels)
            return PairBatch(*(values[pairs[:, side]] for values in both for side in (0, 1)))

        return TrainingPhase(phase.name, phase.steps, phase.objective.bind(problem), optimizer_of(phase), batch)

    first = jnp.asarray(training[0])
    params = {"network": jax.jit(network.init)(jax.random.key(config.seed), first, first, grid)}
    inference, text = config.inference or network, to_toml(config, REGISTRATION_CHOICES)

    def evaluate_model(folder: Path, out: Path, command: str) -> None:
        trained = model_folders.read_params(folder / model_folders.PARAMS, params)
        evaluate_network(inference, trained, held_out, grid, out, config.title, text, command)

    return Experiment(
        config=text,
        out=config.out,
        seed=config.seed,
        settings=config.run,
        phases=tuple(training_phase(phase) for phase in config.phase if phase.steps),
        params=params,
        loss_params={},
        check=lambda: None,
        exported=lambda params: params,
        validate=lambda params: {"validation_ncc": mean_ncc(inference, params, held_out, grid)},
        card=lambda command, params, metrics: registration_card(config, command, params, metrics),
        evaluate=evaluate_model,
    )


def registration_card(config: RegistrationConfig, command: str, params: Params, metrics: dict[str, float]) -> str:
    """Write the card of a registration model."""
    labels = "with labels" if config.data.labels else "no labels"
    return f"""# {config.title}

* Paper: {config.paper or "none"}
* Data: trained on {config.data.train or "the simulated brains of the package"}; pairs of different people, {labels}
* Command: `{command}`, seed {config.seed}
* Parameters: {sum(int(np.size(leaf)) for leaf in jax.tree.leaves(params)):,}
* Validation NCC: {metrics["validation_ncc"]:.4f} (mean over held-out pairs); the results for every pair are in
  ../evaluation
* Limits: trained on images with the voxel size, the contrast and the alignment of its config, which is the file
  config.toml in this folder.
"""
