"""Clients whose requirements conflict with the server's run in an environment of their own.

``make e2e`` makes it, from ``outside/requirements.txt``. Each script there asks one server in every
way its client knows, and prints the answers as JSON.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def outside(script: str, *arguments: str) -> Any:
    """Run a script of ``outside/``, and read what it prints."""
    python = ROOT / ".venv-clients" / "bin" / "python"
    assert python.exists(), "run `make .venv-clients/.installed` first"
    command = [python, Path(__file__).with_name("outside") / script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env={})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
