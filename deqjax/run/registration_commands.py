"""The commands of registration."""


def add_commands(commands) -> None:
    """Add the commands of registration."""
