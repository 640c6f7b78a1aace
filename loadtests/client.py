"""One question to one model, timed and counted by locust, its answer checked for its shape."""

import os
from collections.abc import Callable
from typing import Any

from locust import FastHttpUser

WRONG = "wrong shape: "
"""How the failure of an answer begins that came with status 200 but is not right."""


def ask(
    user: FastHttpUser,
    name: str,
    model: str,
    inputs: Any,
    wrong: Callable[[Any], str | None],
    **parameters: Any,
) -> bool:
    """Post to ``/models/{model}`` and wait for the answer.

    Args:
        user: whose connection is used.
        name: what locust counts it under.
        model: a model's name.
        inputs: as in the Hugging Face shapes.
        wrong: says what is wrong with the answer's JSON, or None.
        parameters: of the request.

    Returns:
        Whether it was answered, and rightly.
    """
    key = os.environ.get("SERVE_API_KEY")
    headers = {"X-API-Key": key} if key else {}
    with user.client.post(
        f"/models/{model}",
        json={"inputs": inputs, "parameters": parameters},
        headers=headers,
        name=name,
        catch_response=True,
    ) as response:
        if response.status_code != 200:
            response.failure(f"status {response.status_code}: {(response.text or '')[:200]}")
            return False
        try:
            problem = wrong(response.json())
        except ValueError:
            problem = "not JSON"
        if problem:
            response.failure(WRONG + problem)
            return False
        return True
