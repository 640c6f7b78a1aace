"""What a plain install leaves out, and the extra of pyproject.toml that brings it.

The core serves ONNX files. Whatever needs more imports it inside a function, and says with
``require`` what to install.
"""

from collections.abc import Mapping
from importlib.util import find_spec

from contracts.errors import CheckpointError

EXTRAS: Mapping[str, str] = {
    "torch": "torch",
    "transformers": "torch",
    "onnx": "torch",
    "onnxscript": "torch",
    "openvino": "openvino",
    "nncf": "train",
    "datasets": "train",
    "accelerate": "train",
    "jinja2": "train",
}
"""The smallest extra with a package, by the name that is imported."""


def require(*packages: str, extra: str | None = None) -> None:
    """Pass if every package can be imported; nothing is imported to find out.

    Args:
        packages: keys of ``EXTRAS``.
        extra: what to install instead of the smallest that would do.

    Raises:
        CheckpointError: with the first that is missing and the command that installs it.
    """
    for package in packages:
        if find_spec(package) is None:
            raise CheckpointError(how_to_install(package, extra))


def how_to_install(package: str, extra: str | None = None) -> str:
    """The sentence for a package that is missing."""
    return f"{package} is not installed; run: pip install 'tuneserve[{extra or EXTRAS[package]}]'"
