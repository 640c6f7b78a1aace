"""The Open Inference Protocol's bytes: what goes in comes out, and what is broken is named."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidRequest
from server.protocols.open_inference import Inference, decode, encode, to_bytes

TEXTS = st.lists(st.text(), min_size=1, max_size=5)


def request(*inputs: dict[str, Any], raw: bytes = b"", **rest: Any) -> tuple[bytes, str | None]:
    header = json.dumps({"inputs": list(inputs)} | rest).encode()
    return header + raw, str(len(header)) if raw else None


def tensor(values: list[str], name: str = "text", **rest: Any) -> dict[str, Any]:
    return {"name": name, "datatype": "BYTES", "shape": [len(values)], "data": values} | rest


def binary(values: list[str], name: str = "text") -> tuple[dict[str, Any], bytes]:
    raw = to_bytes(values)
    size = {"binary_data_size": len(raw)}
    return {
        "name": name,
        "datatype": "BYTES",
        "shape": [len(values)],
        "parameters": size,
    }, raw


@given(TEXTS, TEXTS)
def test_strings_arrive_as_they_were_sent_in_json_and_in_binary(
    first: list[str], second: list[str]
):
    one, raw_one = binary(first, "question")
    two, raw_two = binary(second, "context")
    sent = request(one, two, raw=raw_one + raw_two)
    assert decode(*sent).inputs == {"question": first, "context": second}
    sent = request(one, tensor(second, "context"), raw=raw_one)
    assert decode(*sent).inputs == {"question": first, "context": second}


@given(TEXTS)
def test_an_answer_is_read_back_from_its_binary_form(texts: list[str]):
    asked = Inference("7", {}, {"score": True, "output": True, "label": False}, False, {}, None)
    scores = np.linspace(0, 1, len(texts), dtype=np.float32)
    known = {"label": lambda: texts, "score": lambda: scores, "output": lambda: texts}
    body, length = encode(asked, "m", 3, known)
    header, rest = json.loads(body[:length]), body[length:]
    assert (header["id"], header["model_version"]) == ("7", "3")
    [score, output, label] = header["outputs"]
    assert label["data"] == texts
    size = score["parameters"]["binary_data_size"]
    assert np.array_equal(np.frombuffer(rest[:size], "<f4"), scores)
    assert output["parameters"]["binary_data_size"] == len(rest) - size
    read = []
    rest = rest[size:]
    while rest:
        (length,) = struct.unpack_from("<I", rest)
        read.append(rest[4 : 4 + length].decode())
        rest = rest[4 + length :]
    assert read == texts


def test_outputs_are_json_unless_binary_is_asked_for():
    asked = decode(*request(tensor(["a"])))
    body, length = encode(asked, "m", 1, {"v": lambda: np.ones((2, 3), np.float32)})
    assert length is None
    [output] = json.loads(body)["outputs"]
    assert (output["shape"], output["data"]) == ([2, 3], [1.0] * 6)
    asked = decode(*request(tensor(["a"]), parameters={"binary_data_output": True}))
    assert encode(asked, "m", 1, {"v": lambda: ["x"]})[1] is not None


def test_triton_parameters_are_taken_apart_from_the_tasks():
    one = decode(*request(tensor(["a"]), parameters={"timeout": 1500, "top_k": 3, "priority": 0}))
    assert (one.timeout_s, one.parameters) == (0.0015, {"top_k": 3})


ONE, RAW = binary(["a parcel"])


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ((b"{", None), "not JSON"),
        (request(), "inputs"),
        (request(tensor(["a"], datatype="FP32")), "BYTES"),
        (request(tensor(["a"], shape=[2])), "shape is [2] and it has 1"),
        (request(tensor(["a", "b"], shape=[-1])), "shape"),
        (request(tensor(["a"] * 4, shape=[2, 2])), "one text per item"),
        (request(tensor([], shape=[0])), "empty"),
        (request(tensor([1])), "1 is not a string"),
        (request(tensor(["a"]), tensor(["b"])), "twice"),
        (request(tensor(["a"], data=None)), "neither data nor"),
        (request({**ONE, "data": ["a"]}, raw=RAW), "both"),
        (request(ONE), "Inference-Header-Content-Length"),
        (request(ONE, raw=RAW[:-1]), "bytes are left"),
        (request(ONE, raw=RAW + b"x"), "1 bytes behind the JSON"),
        (request(ONE, raw=b"\xff" + RAW[1:]), "string 0 ends behind its bytes"),
        (request({**ONE, "parameters": {"binary_data_size": 5}}, raw=b"\1\0\0\0\xff"), "UTF-8"),
        (request({**ONE, "parameters": {"binary_data_size": -1}}, raw=RAW), "-1"),
        ((b"{}", "3"), "the body has 2 bytes"),
        ((b"{}", "-1"), "'-1'"),
        (request(tensor(["a"]), parameters={"timeout": "soon"}), "microseconds"),
        (request(tensor(["a"]), parameters={"sequence_id": 4}), "sequences"),
        (request(tensor(["a"]), output=[]), "outputs"),
    ],
)
def test_what_is_broken_is_named(sent: tuple[bytes, str | None], said: str):
    with pytest.raises(InvalidRequest) as raised:
        decode(*sent)
    assert said in str(raised.value)
