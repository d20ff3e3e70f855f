"""Training: from a config file to a run with its model and its evaluation."""

from collections.abc import Sequence
from pathlib import Path

from deqjax import model_folders
from deqjax.run.configs import find_config, read_experiment, run_folder
from deqjax.run.evaluation import evaluate_command
from deqjax.run.fitting import fit
from deqjax.run.folder import Run


def train(
    name: str | Path,
    overrides: Sequence[str],
    command: str,
    resume_from: Path | None = None,
    evaluated: bool = True,
) -> Run:
    """Run an experiment to its end, from wherever it stands, and leave its model and its evaluation in the run folder.

    Args:
      name: a config file, or the name of a config of the package.
      overrides: changes of the config, ``["--seed=1"]``.
      command: the command line, for the model card.
      resume_from: the folder of another run whose newest checkpoint a new run starts from.
      evaluated: whether the model is evaluated at the end.

    Raises:
      ValueError: the config, the data or the folder is wrong. Nothing has been written then.
    """
    path = find_config(name)
    experiment = read_experiment(path, overrides)
    run = Run(run_folder(path, experiment.out), experiment.config)
    fitted = fit(experiment, run, resume_from)
    if not run.model.exists():
        metrics = fitted.validation or experiment.validate(fitted.params)  # a run may be killed after its last step
        card = experiment.card(command, fitted.params, metrics)
        domain = None if experiment.domain is None else experiment.domain()
        model_folders.write_folder(run.model, experiment.config, fitted.params, card, domain)
    run.draw_training_curve()
    if evaluated and not run.evaluation.exists():
        experiment.evaluate(run.model, run.evaluation, evaluate_command(run.model, run.evaluation))
    return run
