"""Configs: an experiment as a TOML file, read into settings with strict keys and types."""

from deqjax.config.schema import Config, Data, Phantoms, Phase, RunSettings, read_config
from deqjax.config.toml import CHOICES, Choices, Trust, build, override, read_table, to_toml

__all__ = [
    "CHOICES",
    "Choices",
    "Config",
    "Data",
    "Phantoms",
    "Phase",
    "RunSettings",
    "Trust",
    "build",
    "override",
    "read_config",
    "read_table",
    "to_toml",
]
