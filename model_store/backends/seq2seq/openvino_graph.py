"""From the decoder's ONNX graph to one that keeps its own cache.

The file that ``model_store.seq2seq_export`` writes takes the past as inputs and returns its new
column. Here each past becomes a state: read, gathered by ``beam_idx`` (which row of the last step
each row continues), appended to, written back. Attention over it becomes OpenVINO's
``ScaledDotProductAttention``, the form that the CPU plugin runs on the cache in place
(``ScaledDotProductAttentionWithKVCache``): a step then copies no cache, and no kernel is generated
for each length of the past, as the two matrix products of the file would have it.
"""

from pathlib import Path
from typing import Any

import numpy as np

from contracts.errors import CheckpointError

BEAMS = "beam_idx"
"""The added input, int32 ``(rows,)``."""


def layers_of(model: Any) -> int:
    """Decoder layers of a graph."""
    return sum(name.startswith("past_key_") for name in _parameters(model))


def stateful(model: Any, path: Path, *, bf16: bool) -> Any:
    """Rewrite a decoder's graph; the given one is used up.

    Args:
        model: as OpenVINO read it.
        path: where from, for the error's sentence.
        bf16: hold states, and take cross-attention's keys and values, as bfloat16; else float32.

    Returns:
        An ``openvino.Model`` with the inputs ``input_ids``, ``positions`` (where the file has it),
        ``past_mask``, ``source_mask``, ``cross_key_0``, ``cross_value_0``, ..., ``beam_idx``; the
        output ``logits``; and one state for each key and value of each layer.

    Raises:
        CheckpointError: attention is not written as our export writes it.
    """
    try:
        return _Rewriting(model, bf16=bf16).model()
    except (_UnexpectedGraph, KeyError) as error:
        raise CheckpointError(
            f"{path} is not a decoder step as `tuneserve export` writes it ({error}); export the "
            "checkpoint again."
        ) from error


class _UnexpectedGraph(Exception):
    """A node stands where none of its kind was expected."""


class _Rewriting:
    """One graph on its way."""

    def __init__(self, model: Any, *, bf16: bool) -> None:
        import openvino as ov
        from openvino import opset13

        self._ov, self._op = ov, opset13
        self._kind = ov.Type.bf16 if bf16 else ov.Type.f32
        self._float = ov.Type.f32
        self._old = model
        self._inputs = _parameters(model)
        self._outputs = {output.get_any_name(): output for output in model.outputs}
        self._beams = opset13.parameter([-1], np.int32, name=BEAMS)
        self._beams.output(0).set_names({BEAMS})
        shape = opset13.shape_of(self._inputs["input_ids"], output_type="i64")
        self._rows = opset13.gather(shape, opset13.constant([0]), opset13.constant(0))
        self._one = opset13.constant(np.float32(1))
        self._sinks: list[Any] = []
        self._variables: list[Any] = []

    def model(self) -> Any:
        """Rewrite every layer."""
        layers = layers_of(self._old)
        if not layers:
            raise _UnexpectedGraph("no past")
        for layer in range(layers):
            self._own_attention(layer)
            self._cross_attention(layer)
        own = {f"past_{part}_{layer}" for layer in range(layers) for part in ("key", "value")}
        kept = [node for name, node in self._inputs.items() if name not in own]
        logits = self._outputs["logits"].get_node()
        return self._ov.Model([logits], self._sinks, [*kept, self._beams], self._variables, "step")

    def _own_attention(self, layer: int) -> None:
        op = self._op
        keys, values = (self._inputs[f"past_{part}_{layer}"] for part in ("key", "value"))
        scores = _user(_user(keys, "Transpose"), "MatMul")
        query = scores.input_value(0)
        before, joined = _added(scores, "Concat")
        now_scores = [node for node in _users(query) if node.get_type_name() == "MatMul"]
        now, other = _added(_single([node for node in now_scores if node != scores]), "Concat")
        mixed = _user(_user(values, "MatMul"), "Add")
        # What is added to the past's scores: its mask, then maybe a bias, which the new column
        # has too.
        if other != joined or len(before) != len(now) + 1:
            raise _UnexpectedGraph(joined.get_friendly_name())
        mask = op.pad(
            before[0],
            op.constant([0, 0, 0, 0]),
            op.constant([0, 0, 0, 1]),
            "constant",
            op.constant(np.float32(0)),
        )
        for pair in zip(before[1:], now, strict=True):
            mask = op.add(mask, op.concat(list(pair), 3))
        whole = [self._state(part, layer) for part in ("key", "value")]
        attention = op.scaled_dot_product_attention(query, *whole, mask, self._one, False)
        _replace(mixed.output(0), attention.output(0))

    def _state(self, part: str, layer: int) -> Any:
        """The past of one layer with its new column: what attention reads."""
        from openvino.op.util import Variable, VariableInfo

        op, name = self._op, f"past_{part}_{layer}"
        past = self._inputs[name]
        heads, dim = (past.get_output_partial_shape(0)[axis].get_length() for axis in (1, 3))
        info = VariableInfo()
        info.data_shape = self._ov.PartialShape([-1, heads, -1, dim])
        info.data_type = self._kind
        info.variable_id = name
        variable = Variable(info)
        nothing = op.concat([self._rows, op.constant(np.array([heads, 0, dim], np.int64))], 0)
        zero = op.convert(op.constant(np.float32(0)), self._kind)
        read = op.read_value(op.broadcast(zero, nothing), variable)
        # The plugin folds the conversions away. A state of another type than its cache would cost
        # more than a step each time that it is read from outside.
        gathered = op.gather(op.convert(read, self._float), self._beams, op.constant(0))
        column = self._outputs[f"{part}_{layer}"].get_node().input_value(0)
        whole = op.concat([gathered, column], 2)
        self._sinks.append(op.assign(op.convert(whole, self._kind), variable))
        self._variables.append(variable)
        # Others ask it for its length.
        _replace(past.output(0), gathered.output(0))
        return whole

    def _cross_attention(self, layer: int) -> None:
        """Read bfloat16 as it lies there, and keys without turning them."""
        op = self._op
        keys, values = (self._inputs[f"cross_{part}_{layer}"] for part in ("key", "value"))
        turned = _user(keys, "Transpose")
        scores = _user(turned, "MatMul")
        query = scores.input_value(0)
        if self._kind != self._float:
            for node in (keys, values):
                users = node.output(0).get_target_inputs()
                node.set_element_type(self._kind)
                widened = op.convert(node, self._float)
                for user in users:
                    user.replace_source_output(widened.output(0))
        plain = turned.input_value(0)
        _replace(scores.output(0), op.matmul(query, plain, False, True).output(0))


def _parameters(model: Any) -> dict[str, Any]:
    return {node.get_output_tensor(0).get_any_name(): node for node in model.get_parameters()}


def _users(node: Any) -> list[Any]:
    output = node.output(0) if hasattr(node, "output") else node
    return [user.get_node() for user in output.get_target_inputs()]


def _user(node: Any, kind: str) -> Any:
    return _single([user for user in _users(node) if user.get_type_name() == kind], kind, node)


def _single(nodes: list[Any], kind: str = "MatMul", near: Any = None) -> Any:
    if len(nodes) != 1:
        place = f" behind {near.get_friendly_name()}" if near is not None else ""
        raise _UnexpectedGraph(f"{len(nodes)} {kind}{place}")
    return nodes[0]


def _added(node: Any, end: str) -> tuple[list[Any], Any]:
    """What is added to a node's output, one after the other, until a node of another kind."""
    found: list[Any] = []
    while True:
        user = _single(_users(node), end, node)
        if user.get_type_name() == end:
            return found, user
        if user.get_type_name() != "Add":
            raise _UnexpectedGraph(user.get_friendly_name())
        sides = [user.input_value(0), user.input_value(1)]
        found.append(sides[1] if sides[0].get_node() == node else sides[0])
        node = user


def _replace(old: Any, new: Any) -> None:
    for user in old.get_target_inputs():
        if user.get_node() != new.get_node():
            user.replace_source_output(new)
