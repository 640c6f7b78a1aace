"""Thousands of requests that the OpenAPI document allows, or nearly: each answer is as it says.

No answer is a 5xx, has a status or content type that the document does not name, or a body that is
not of its schema. The draw is seeded.
"""

import copy
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from contracts.bodies import bodies_of
from contracts.tasks import Task
from tests.clients.conftest import ADMIN_KEY, LABELS, TASKS
from tests.running import RunningServer

EXAMPLES = 40
"""Requests per path in the last of three phases; the first two draw a number of their own."""

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)
ANSWERS = {  # which of our models answers at all
    "feature-extraction": ["embed"],
    "sentence-similarity": ["embed"],
    "embed": ["embed"],
    "similarity": ["embed"],
    "rerank": ["rerank"],
    "predict": ["intent", "nli"],
}
HOOKS = Path(__file__).parent / "schemathesis" / "hooks.py"


def aimed(document: dict[str, Any]) -> dict[str, Any]:
    """The same document for the models that are there: else nearly every answer would be 404."""
    tasks = {**TASKS, "embed": Task.FEATURE_EXTRACTION}
    labels = dict.fromkeys(tasks, ()) | LABELS
    paths: dict[str, Any] = {}
    for path, operations in document["paths"].items():
        names = ANSWERS.get(path.rsplit("/", 1)[1], [*labels, "intent@1", "nothing"])
        for operation in operations.values():
            _aim(operation, names)
        paths[path] = operations
    for name in labels:
        task = tasks.get(name, Task.TEXT_CLASSIFICATION)
        operation = copy.deepcopy(document["paths"]["/models/{name}"]["post"])
        operation["operationId"] += f"_{name}"
        operation["parameters"] = [one for one in operation["parameters"] if one["in"] != "path"]
        bodies = bodies_of(task, LABELS.get(name, ()), generates=False)
        content = operation["requestBody"]["content"]["application/json"]
        content["schema"] = {
            "anyOf": [{"$ref": f"#/components/schemas/{body.__name__}"} for body in bodies]
        }
        paths[f"/models/{name}"] = {"post": operation}
    return {**document, "paths": paths}


def _aim(operation: dict[str, Any], names: list[str]) -> None:
    for one in operation.get("parameters", ()):
        match one["name"]:
            case "name":
                one["schema"] = {"enum": names}
            case "version":
                one["schema"] = {"enum": ["1", "9"]}
            case "X-Request-Timeout-Ms":
                one["schema"]["minimum"] = 20_000  # less may rightly end with 504


def test_every_answer_is_as_the_document_says(server: RunningServer, tmp_path: Path):
    document = aimed(httpx.get(f"{server.url}/openapi.json").json())
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))
    command = [
        *(Path(sys.executable).with_name("schemathesis"), "run", file, "--url", server.url),
        *("--seed", "1", "--max-examples", str(EXAMPLES), "--generation-database", "none"),
        *("--phases", "examples,coverage,fuzzing", "--checks", ",".join(CHECKS)),
        *("--request-timeout", "30", "--warnings", "off", "--continue-on-failure", "--no-color"),
        *("--header", f"X-API-Key: {ADMIN_KEY}", "--exclude-path-regex", "(load|unload)$"),
    ]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": HOOKS.stem, "PYTHONPATH": str(HOOKS.parent)}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    counted = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert counted, done.stdout
    print(counted[0])
    assert int(counted[1]) >= 3000
    assert counted[1] == counted[2]
    statuses = Counter(line["status"] for line in server.log_lines() if "status" in line)
    print(f"statuses: {dict(statuses)}")
    assert statuses[200] > 1000
    assert not [line for line in server.log_lines() if line["message"] == "a request failed"]
