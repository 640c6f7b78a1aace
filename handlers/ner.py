"""Token classification: every token gets a label, tagged tokens become entities of the text.

A text longer than the model is read in overlapping windows. Each token's logits are taken from the
window that shows most text around it, so what is grouped afterwards is one sequence, as if the
model had read the text at once. ``handlers/spans.py`` turns it into entities.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from tokenizers import Encoding

from contracts.errors import CheckpointError, InputTooLong, InvalidRequest, ServingError
from contracts.schemas import Entity, NerItem, Strategy
from contracts.tasks import Task
from contracts.tensors import Array, Tensors
from handlers.base import Handler, Prepared
from handlers.spans import EntityReader
from handlers.tokenization import TextTokenizer, Window, dense
from handlers.word_windows import cuts_between, word_windows
from model_store.manifest import Manifest

STRATEGIES = get_args(Strategy)

DEFAULT_STRIDE = 64
"""Tokens that neighbouring windows share (at most a quarter of one): 32 of context each side."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """An encoded text, and which tokens of it each row decides.

    Attributes:
        encoding: of the whole text, without special tokens.
        windows: the slice of the text in each row.
        cuts: row ``i`` decides the tokens ``[cuts[i], cuts[i + 1])``.
    """

    encoding: Encoding
    windows: list[Window]
    cuts: list[int]


class NerHandler(Handler[NerItem, list[Entity]]):
    """Entities with character offsets into the text as it came."""

    task = Task.TOKEN_CLASSIFICATION
    item = NerItem
    per_token = True

    def __init__(self, manifest: Manifest, tokenizer: TextTokenizer) -> None:
        """Read the tag scheme off the labels.

        Raises:
            CheckpointError: the manifest's default strategy is none that there is.
        """
        super().__init__(manifest, tokenizer)
        self.strategy = manifest.generation_defaults.get("aggregation_strategy")
        if self.strategy not in (None, *STRATEGIES):
            raise CheckpointError(
                "generation_defaults.aggregation_strategy in manifest.json must be one of "
                f"{', '.join(STRATEGIES)}."
            )
        self.reader = EntityReader(manifest.labels, tokenizer)

    def preprocess(self, items: Sequence[NerItem]) -> list[Prepared | ServingError]:
        """One row per text, or one per window of a long text, or an error."""
        encodings = self.tokenizer.encode([item.text for item in items])
        return [
            self._prepare(item, encoding) for item, encoding in zip(items, encodings, strict=True)
        ]

    def postprocess(
        self, item: NerItem, prepared: Prepared, outputs: Sequence[Tensors]
    ) -> list[Entity]:
        """Entities in text order; see ``EntityReader.read``."""
        tagged: Tagged = prepared.context
        logits = self._merge(tagged, [output["logits"] for output in outputs])
        parameters = item.parameters
        if self.strategy and "aggregation_strategy" not in parameters.model_fields_set:
            parameters = parameters.model_copy(update={"aggregation_strategy": self.strategy})
        return self.reader.read(item.text, tagged.encoding, logits, parameters)

    def _prepare(self, item: NerItem, encoding: Encoding) -> Prepared | ServingError:
        tokenizer = self.tokenizer
        ids: list[int] = encoding.ids
        room = tokenizer.room()
        stride = item.parameters.stride
        if stride is not None and stride >= room:
            return InvalidRequest(
                f"parameters.stride is {stride} and must be below {room}, "
                "the tokens of text in one window of this model."
            )
        if stride is not None and dense(len(ids), room, stride):
            return InvalidRequest(
                f"parameters.stride is {stride}: for a text of {len(ids)} tokens it must be at "
                f"most {room // 2}, half of a window."
            )
        truncated = False
        if len(ids) <= room:
            slices = [Window(0, len(ids))]
        elif item.parameters.long == "truncate":
            slices, truncated = [Window(0, room)], True
        elif item.parameters.long == "window":
            if stride is None:
                stride = min(DEFAULT_STRIDE, room // 4)
            slices = word_windows(encoding.word_ids, room, stride)
        else:
            return InputTooLong(len(ids) + tokenizer.max_tokens - room, tokenizer.max_tokens)
        cuts = [0, slices[-1].end]
        if len(slices) > 1:
            cuts = cuts_between(slices, encoding.word_ids)
        rows = [tokenizer.row(ids[window.start : window.end]) for window in slices]
        return Prepared(rows, truncated, Tagged(encoding, slices, cuts))

    def _merge(self, tagged: Tagged, logits: Sequence[Array]) -> Array:
        """The logits of the text's own tokens, ``(tokens, labels)``, each from its best window."""
        before = len(self.tokenizer.single_prefix)
        parts = [
            array[before + start - window.start : before + end - window.start]
            for array, window, start, end in zip(
                logits, tagged.windows, tagged.cuts[:-1], tagged.cuts[1:], strict=True
            )
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
