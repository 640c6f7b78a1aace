"""What models, versions and aliases may be called: each is one folder or one word of a reference.

A name that starts with a dot is never a model's.
"""

import re

from contracts.errors import CheckpointError

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
VERSION_NAME = re.compile(r"[1-9][0-9]*")


def check_name(name: str) -> None:
    """Refuse a model name that would not be one folder, or that a reference could not spell.

    Raises:
        CheckpointError: the name is not allowed.
    """
    if not MODEL_NAME.fullmatch(name):
        raise CheckpointError(
            f"{name!r} cannot be a model's name: letters, digits, '.', '_' and '-', "
            "the first a letter or a digit."
        )


def check_alias(alias: str) -> None:
    """Refuse an alias that a reference could not spell, or would read as a version.

    Raises:
        CheckpointError: the alias is not allowed.
    """
    if not MODEL_NAME.fullmatch(alias) or alias.isdecimal():
        raise CheckpointError(
            f"{alias!r} cannot be an alias: letters, digits, '.', '_' and '-', not a number."
        )
