"""Tasks as tensors: which inputs and outputs a model has under the Open Inference Protocol."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from pydantic import ValidationError

from contracts.bodies import body_for
from contracts.embeddings import EmbeddingBody
from contracts.errors import InvalidRequest
from contracts.schemas import Body, ClassificationBody
from contracts.tasks import Task
from contracts.zero_shot import ZeroShotBody
from server.errors import explain
from server.messages import ModelStatus
from server.protocols.open_inference import Inference, Values

TEXT_NAMES = ("text", "args", "array_inputs")
"""What clients call the one text that most tasks have; ``text`` is told as its name."""


def input_names(model: ModelStatus) -> tuple[list[str], list[str]]:
    """The inputs that a request must have, and those that it may have."""
    if model.task == Task.QUESTION_ANSWERING and not model.generates:
        return ["question", "context"], []
    optional = {
        ClassificationBody: ["text_pair"],
        ZeroShotBody: ["candidate_labels"],
    }
    return ["text"], [name for body in model.bodies for name in optional.get(body, [])]


def output_names(model: ModelStatus) -> dict[str, tuple[str, list[int]]]:
    """Datatype and shape of each output, -1 for the number of items and what is not known."""
    bodies = model.bodies
    outputs: dict[str, tuple[str, list[int]]] = {}
    if ClassificationBody in bodies:
        outputs |= {"label": ("BYTES", [-1]), "score": ("FP32", [-1])}
    if EmbeddingBody in bodies:
        outputs["embedding"] = ("FP32", [-1, -1])
    return outputs | {"output": ("BYTES", [-1])}


def to_body(model: ModelStatus, request: Inference) -> Body:
    """The request in the shape of the model's task.

    Raises:
        InvalidRequest: an input is missing, unknown or of another length, an output is unknown, or
            a parameter is wrong.
    """
    known = output_names(model)
    for name in request.outputs or {}:
        if name not in known:
            raise InvalidRequest(f"outputs: this model has no {name!r}; it has {', '.join(known)}.")
    inputs = dict(request.inputs)
    for name in TEXT_NAMES[1:]:
        if name in inputs and TEXT_NAMES[0] not in inputs:
            inputs[TEXT_NAMES[0]] = inputs.pop(name)
    _check(inputs, *input_names(model))
    parameters = dict(request.parameters)
    if "candidate_labels" in inputs:
        parameters["candidate_labels"] = inputs.pop("candidate_labels")
    if len({len(values) for values in inputs.values()}) > 1:
        lengths = ", ".join(f"{name} {len(values)}" for name, values in inputs.items())
        raise InvalidRequest(f"inputs: they must have the same number of values, not {lengths}.")
    items: list[Any] = next(iter(inputs.values()))
    if len(inputs) > 1:
        rows = zip(*inputs.values(), strict=True)
        items = [dict(zip(inputs, row, strict=True)) for row in rows]
    content = {"inputs": items, "parameters": parameters}
    schema = body_for(content, model.bodies)
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        raise explain(schema, content, error) from None


def to_outputs(body: Body, answers: Sequence[Any]) -> Mapping[str, Callable[[], Values]]:
    """What each output of an answer is made by; one value or row per item.

    Args:
        body: the request.
        answers: one per item, none an error.
    """

    def output() -> list[str]:
        return [
            orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY).decode() for answer in answers
        ]

    outputs: dict[str, Callable[[], Values]] = {}
    if isinstance(body, ClassificationBody | ZeroShotBody):
        outputs["label"] = lambda: [answer[0]["label"] for answer in answers]
        outputs["score"] = lambda: np.array([answer[0]["score"] for answer in answers], np.float32)
    if isinstance(body, EmbeddingBody):
        outputs["embedding"] = lambda: np.stack(answers).astype(np.float32)
    return outputs | {"output": output}


def _check(inputs: Mapping[str, Any], needed: Sequence[str], optional: Sequence[str]) -> None:
    for name in inputs:
        if name not in (*needed, *optional):
            known = ", ".join([*needed, *(f"{each} (if you like)" for each in optional)])
            raise InvalidRequest(f"inputs: this model has no {name!r}; it has {known}.")
    for name in needed:
        if name not in inputs:
            raise InvalidRequest(f"inputs: {name} is missing.")
