"""An int8 graph in which some parts compute in float again, exactly as in the fp32 graph.

The quantiser keeps the nodes of the fp32 graph under their names and puts others between them:
quantisers, and the factors that smooth activations, whose inverse it multiplies into the weights.
A node that gets its fp32 inputs back, weights and all, computes what it did before, whatever was
put between; so nothing has to be calibrated again, and no smoothed weight meets a plain activation.

A part is an encoder layer, ``encoder.3``, counted from 0 at the input, or what stands beside the
encoder by its name in the model: ``classifier``, ``embeddings_project``. By kind, a part is the
same module of every layer: ``*.attention.output.dense``.
"""

import ast
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from contracts.errors import CheckpointError

LAYER = re.compile(r"(?:^|\.)(?:layer|layers|albert_layer_groups)\.(\d+)\.")
"""A layer's number in the name of what is inside it: BERT and its kin, DistilBERT, ModernBERT,
ALBERT."""

SCOPES = "pkg.torch.onnx.name_scopes"
"""Under this key the exporter notes the modules around a node, the outermost first."""

WRAPPERS = ("encoder", "transformer")
"""Modules that hold the layers: what else they hold goes by its own name."""

GROUPS = 6
"""Parts of a graph that tells neither its layers nor, by ``Attention`` nodes, their number."""


class MixedGraph:
    """An int8 graph beside the fp32 graph that it was made of.

    Attributes:
        parts: those that have something quantised, in the graph's order.
    """

    def __init__(
        self,
        fp32: Path,
        int8: Path,
        *,
        naming: Callable[[Sequence[Any]], dict[str, str]] | None = None,
    ) -> None:
        """Read both files.

        Args:
            fp32: the graph before quantising.
            int8: the graph after it.
            naming: ``name_parts``, which is the default, or ``name_kinds``.

        Raises:
            CheckpointError: one of them cannot be read.
        """
        self.fp32 = fp32
        self._fp32, self._int8 = _read(fp32), _read(int8)
        self._part = (naming or name_parts)(self._fp32.graph.node)
        self._weights = {each.name: each for each in self._fp32.graph.initializer}
        self.parts = self._quantized()

    def write(self, floats: Collection[str], destination: Path) -> Path:
        """Write the int8 graph with some parts in float.

        Args:
            floats: of ``parts``; with all of them the graph is the fp32 one, but for rounding.
            destination: the file; its folder is there.

        Returns:
            ``destination``.
        """
        import onnx

        model = onnx.ModelProto()
        model.CopyFrom(self._int8)
        graph = model.graph
        targets = {node.name: node for node in graph.node}
        present = {each.name: each for each in graph.initializer}
        for node in self._fp32.graph.node:
            if node.name not in targets or self._part.get(node.name) not in floats:
                continue
            inputs = [self._weight(name, graph, present) for name in node.input]
            del targets[node.name].input[:]
            targets[node.name].input.extend(inputs)
        _prune(graph, {node.name for node in self._fp32.graph.node})
        onnx.save(model, str(destination))
        return destination

    def _weight(self, name: str, graph: Any, present: dict[str, Any]) -> str:
        """The input's name; a weight is put back, beside one that was changed in place."""
        weight = self._weights.get(name)
        if weight is None or present.get(name) == weight:
            return name
        fresh = f"{name}/float" if name in present else name
        if fresh not in present:
            added = graph.initializer.add()
            added.CopyFrom(weight)
            added.name = fresh
            present[fresh] = added
        return fresh

    def _quantized(self) -> list[str]:
        """The parts with a node that reads what was quantised."""
        rounded = {
            name
            for node in self._int8.graph.node
            if node.op_type == "DequantizeLinear"
            for name in node.output
        }
        readers = {
            node.name for node in self._int8.graph.node if not rounded.isdisjoint(node.input)
        }
        found = [part for name, part in self._part.items() if name in readers]
        return list(dict.fromkeys(found))


def name_parts(nodes: Sequence[Any]) -> dict[str, str]:
    """The part of each node, by the node's name; nodes before the first part are left out.

    Where the exporter's notes do not tell the layers apart (ALBERT calls one layer again and again;
    another exporter notes nothing), the ``MatMul`` nodes are split in the graph's order into as
    many equal groups as there are ``Attention`` nodes, else into ``GROUPS``: ``group.0`` and so on.

    Args:
        nodes: of an fp32 graph, each with a name of its own, in the order in which they run.
    """
    scopes = [_scope(node) for node in nodes]
    base = next((scope.split(".")[:2] for scope in scopes if LAYER.search(f"{scope}.")), [])
    parts: dict[str, str] = {}
    last = ""
    for node, scope in zip(nodes, scopes, strict=True):
        last = _part(scope, base) or last  # without a note it goes with the node before
        if last:
            parts[node.name] = last
    layers = {part for part in parts.values() if part.startswith("encoder.")}
    if len(layers) > 1:
        return parts
    inside = [node for node in nodes if not parts or parts.get(node.name) in layers]
    return parts | _split(inside)


def name_kinds(nodes: Sequence[Any]) -> dict[str, str]:
    """The kind of each node inside a layer, by the node's name: the same module of every layer.

    A graph whose nodes tell no layers has the parts of ``name_parts`` instead.

    Args:
        nodes: as for ``name_parts``.
    """
    kinds: dict[str, str] = {}
    last = ""
    for node in nodes:
        scope = _scope(node)
        found = LAYER.search(f"{scope}.")
        if found:
            last = f"*.{scope[found.end() :]}"
        elif scope:
            last = ""
        if last:
            kinds[node.name] = last
    return kinds or name_parts(nodes)


def _split(nodes: Sequence[Any]) -> dict[str, str]:
    """Equal groups of matrix products, each with what follows it until the next group."""
    total = sum(node.op_type == "MatMul" for node in nodes)
    calls = sum(node.op_type == "Attention" for node in nodes)
    groups = min(calls or GROUPS, total)
    parts: dict[str, str] = {}
    seen = 0
    for node in nodes:
        seen += node.op_type == "MatMul"
        if seen:
            parts[node.name] = f"group.{(seen - 1) * groups // total}"
    return parts


def _scope(node: Any) -> str:
    """The innermost module around a node, such as ``model.bert.encoder.layer.0.output.dense``."""
    noted = next((each.value for each in node.metadata_props if each.key == SCOPES), "[]")
    modules: list[str] = ast.literal_eval(noted)[:-1]  # the last one is the operation itself
    return modules[-1] if modules else ""


def _part(scope: str, base: Sequence[str]) -> str:
    """The part that a module belongs to; nothing for the model as a whole."""
    found = LAYER.search(f"{scope}.")
    if found:
        return f"encoder.{found[1]}"
    names = scope.split(".")
    names = names[len(base) :] if names[: len(base)] == list(base) else names[1:]
    while names and names[0] in WRAPPERS:
        names = names[1:]
    return names[0] if names else ""


def _prune(graph: Any, kept: Collection[str]) -> None:
    """Remove what the quantiser added and nothing reads any more."""
    dead = True
    while dead:
        read = {name for node in graph.node for name in node.input}
        read.update(each.name for each in graph.output)
        dead = False
        for index in reversed(range(len(graph.node))):
            node = graph.node[index]
            if node.name not in kept and read.isdisjoint(node.output):
                del graph.node[index]
                dead = True
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in read:
            del graph.initializer[index]


def _read(path: Path) -> Any:
    import onnx

    try:
        return onnx.load(str(path))
    except Exception as error:  # protobuf's own classes, and the system's
        raise CheckpointError(f"{path} cannot be read as ONNX ({error}).") from error
