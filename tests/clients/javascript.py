"""Runs Hugging Face's JavaScript client in Node; ``make e2e`` installs it into ``js/``."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("js")


def ask_in_javascript(asks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Let the client ask, one after the other; see ``js/client.mjs``."""
    node = shutil.which("node")
    assert node, "install Node 18 or newer"
    assert (FOLDER / "node_modules").is_dir(), (
        "run `make tests/clients/js/node_modules/.installed` first"
    )
    done = subprocess.run(
        [node, FOLDER / "client.mjs"],
        input=json.dumps(asks),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes: list[dict[str, Any]] = json.loads(done.stdout)
    return outcomes
