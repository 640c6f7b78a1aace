"""Open Inference Protocol v2, as bytes: JSON, and the binary tensors that Triton's clients send.

A body is a JSON header, alone or with raw tensors behind it. Then the HTTP header
``Inference-Header-Content-Length`` says where the JSON ends, each tensor's ``binary_data_size`` how
many bytes are its own, in the order of the tensors. A string is a little-endian uint32 length and
its bytes. Answers are encoded in the same way, each output as its request asks.
"""

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import orjson
from pydantic import Field

from contracts.errors import InvalidRequest
from contracts.schemas import Strict
from server.parsing import parse_body

HEADER_LENGTH = "Inference-Header-Content-Length"

_LENGTH = struct.Struct("<I")


class InputTensor(Strict):
    """One tensor of strings, its values in ``data`` or behind the JSON."""

    name: str
    datatype: Literal["BYTES"] = Field(description="Every input of this server is text.")
    shape: list[int] = Field(min_length=1, description="[n], or [n, 1].")
    data: list[Any] | None = Field(default=None, description="n strings, flat or nested.")
    parameters: dict[str, Any] = Field(
        default={}, description="binary_data_size: the values stand behind the JSON."
    )


class OutputRequest(Strict):
    """One output that is wanted."""

    name: str
    parameters: dict[str, Any] = Field(
        default={}, description="binary_data: true sends it behind the JSON."
    )


class InferRequest(Strict):
    """The JSON of an inference request."""

    id: str = Field(default="", description="Comes back in the answer.")
    inputs: list[InputTensor] = Field(min_length=1)
    outputs: list[OutputRequest] | None = Field(default=None, description="Default: all.")
    parameters: dict[str, Any] = Field(
        default={},
        description="The task's parameters by Hugging Face's names, and timeout (microseconds).",
    )


@dataclass(frozen=True, slots=True)
class Inference:
    """A decoded request.

    Attributes:
        id: the caller's, or empty.
        inputs: the strings of each input, by name.
        outputs: whether it is sent in binary, by name, of each output that is wanted; None: all.
        binary: whether outputs that are not named are sent in binary.
        parameters: of the task.
        timeout_s: that the caller allows; None where he says nothing.
    """

    id: str
    inputs: dict[str, list[str]]
    outputs: dict[str, bool] | None
    binary: bool
    parameters: dict[str, Any]
    timeout_s: float | None


Values = np.ndarray[Any, np.dtype[np.float32]] | list[str]
"""Of one output: float32 numbers or strings, the first axis is the items."""


def decode(body: bytes, header_length: str | None) -> Inference:
    """Read one request.

    Args:
        body: of the HTTP request.
        header_length: the value of ``Inference-Header-Content-Length``, if it was sent.

    Raises:
        InvalidRequest: a sentence that names the input or the field.
    """
    header, binary = _split(body, header_length)
    request = parse_body(InferRequest, header)
    inputs: dict[str, list[str]] = {}
    for tensor in request.inputs:
        if tensor.name in inputs:
            raise InvalidRequest(f"inputs: {tensor.name} is there twice.")
        values, binary = _values(tensor, binary)
        inputs[tensor.name] = values
    if binary:
        raise InvalidRequest(f"{len(binary)} bytes behind the JSON belong to no input.")
    parameters = dict(request.parameters)
    default = parameters.pop("binary_data_output", False) is True
    outputs = request.outputs and {
        each.name: each.parameters.get("binary_data", default) is True for each in request.outputs
    }
    timeout_s = _timeout(parameters)
    for name in ("sequence_id", "sequence_start", "sequence_end", "priority"):
        if parameters.pop(name, None):
            raise InvalidRequest(
                f"parameters.{name}: there are no sequences and no priorities here; leave it out."
            )
    return Inference(request.id, inputs, outputs or None, default, parameters, timeout_s)


def encode(
    request: Inference, name: str, version: int, known: Mapping[str, Callable[[], Values]]
) -> tuple[bytes, int | None]:
    """Write one answer.

    Args:
        request: asks for outputs, and how.
        name: of the model.
        version: of the model.
        known: all outputs of the model, each made where it is wanted.

    Returns:
        The body, and the length of its JSON where tensors stand behind it, else None.
    """
    outputs, raw = [], []
    for each, binary in (request.outputs or dict.fromkeys(known, request.binary)).items():
        values = known[each]()
        output: dict[str, Any] = {
            "name": each,
            "datatype": "FP32" if isinstance(values, np.ndarray) else "BYTES",
            "shape": values.shape if isinstance(values, np.ndarray) else [len(values)],
        }
        if binary:
            raw.append(to_bytes(values))
            output["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            output["data"] = values.ravel() if isinstance(values, np.ndarray) else values
        outputs.append(output)
    header: dict[str, Any] = {"model_name": name, "model_version": str(version)}
    if request.id:
        header["id"] = request.id
    text = orjson.dumps(header | {"outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    return text + b"".join(raw), len(text) if raw else None


def to_bytes(values: Values) -> bytes:
    """The binary form of one tensor."""
    if isinstance(values, np.ndarray):
        return np.ascontiguousarray(values, dtype="<f4").tobytes()
    encoded = [value.encode() for value in values]
    return b"".join(_LENGTH.pack(len(value)) + value for value in encoded)


def _split(body: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    if header_length is None:
        return body, b""
    length = int(header_length) if header_length.isdecimal() else -1
    if not 0 <= length <= len(body):
        raise InvalidRequest(
            f"{HEADER_LENGTH} is {header_length!r} and the body has {len(body)} bytes."
        )
    return body[:length], body[length:]


def _values(tensor: InputTensor, binary: bytes) -> tuple[list[str], bytes]:
    """The strings of one tensor, and what is left of the bytes behind the JSON."""
    size = tensor.parameters.get("binary_data_size")
    place = f"inputs.{tensor.name}"
    if size is None:
        if tensor.data is None:
            raise InvalidRequest(f"{place}: it has neither data nor binary_data_size.")
        values = _flatten(tensor.data, place)
    else:
        if tensor.data is not None:
            raise InvalidRequest(f"{place}: it has both data and binary_data_size; send one.")
        if not isinstance(size, int) or not 0 <= size <= len(binary):
            raise InvalidRequest(
                f"{place}: binary_data_size is {size!r} and {len(binary)} bytes are left behind"
                f" the JSON; {HEADER_LENGTH} says where it ends."
            )
        values = _strings(binary[:size], place)
        binary = binary[size:]
    if min(tensor.shape) < 0 or math.prod(tensor.shape) != len(values):
        raise InvalidRequest(
            f"{place}: its shape is {tensor.shape} and it has {len(values)} values."
        )
    if sum(size > 1 for size in tensor.shape) > 1:
        raise InvalidRequest(f"{place}: its shape is {tensor.shape}; send one text per item: [n].")
    if not values:
        raise InvalidRequest(f"{place}: it is empty.")
    return values, binary


def _flatten(data: Sequence[Any], place: str) -> list[str]:
    values: list[str] = []
    for each in data:
        if isinstance(each, list):
            values += _flatten(each, place)
        elif isinstance(each, str):
            values.append(each)
        else:
            raise InvalidRequest(f"{place}: {each!r:.40} is not a string.")
    return values


def _strings(raw: bytes, place: str) -> list[str]:
    values: list[str] = []
    start = 0
    while start < len(raw):
        end = start + _LENGTH.size
        if end <= len(raw):
            (length,) = _LENGTH.unpack_from(raw, start)
            start, end = end, end + length
        if end > len(raw):
            raise InvalidRequest(
                f"{place}: string {len(values)} ends behind its bytes; a string is a little-endian"
                " uint32 length and so many bytes."
            )
        try:
            values.append(raw[start:end].decode())
        except UnicodeDecodeError:
            raise InvalidRequest(f"{place}: string {len(values)} is not UTF-8.") from None
        start = end
    return values


def _timeout(parameters: dict[str, Any]) -> float | None:
    """Triton's timeout in microseconds, taken out of the parameters; 0 means none."""
    given = parameters.pop("timeout", 0)
    if not isinstance(given, int) or given < 0:
        raise InvalidRequest(f"parameters.timeout: {given!r} is not a number of microseconds.")
    return given / 1_000_000 or None
