"""Fill-mask: the tokens that may stand where a text has a mask.

A row per mask: the model's vocabulary head looks at one position of each row, and of its logits
only the proposals are kept as soon as a batch has run, so that memory is bounded by one batch. The
answers are those of the ``fill-mask`` pipeline of transformers 5.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from contracts.errors import CheckpointError, InputTooLong, InvalidRequest, ServingError
from contracts.fill_mask import FillMaskItem, Proposal
from contracts.tasks import Task
from contracts.tensors import Tensors
from handlers.base import Handler, Prepared
from handlers.detokenizer import Detokenizer
from handlers.tokenization import MaskedRow, Row, TextTokenizer
from model_store.manifest import Manifest

MAX_MASKS = 64
"""Of one text: each costs a row."""


class FillMaskHandler(Handler[FillMaskItem, list[Any]]):
    """Proposals, best first; one list per mask where a text has several."""

    task = Task.FILL_MASK
    item = FillMaskItem
    per_token = False

    def __init__(self, manifest: Manifest, tokenizer: TextTokenizer) -> None:
        """Find the mask.

        Raises:
            CheckpointError: the tokenizer has none.
        """
        super().__init__(manifest, tokenizer)
        if tokenizer.mask is None:
            raise CheckpointError(
                "The tokenizer has no mask token (tokenizer_config.json: mask_token), so nothing "
                "can be filled in; save it again with transformers."
            )
        self.mask_id = tokenizer.raw.token_to_id(tokenizer.mask)
        self.detokenizer = Detokenizer(tokenizer.raw, clean_up=tokenizer.clean_up)
        self.vocabulary = tokenizer.raw.get_vocab()

    def preprocess(self, items: Sequence[FillMaskItem]) -> list[Prepared | ServingError]:
        """A row per mask: the whole text, or the window of it around the mask."""
        encoded = self.tokenizer.encode([item.text for item in items])
        known: dict[tuple[str, ...], tuple[int, ...]] = {}
        prepared = []
        for item, encoding in zip(items, encoded, strict=True):
            targets = None
            if item.parameters.targets is not None:
                words = tuple(item.parameters.targets)
                targets = known.setdefault(words, self._target_ids(words))
            prepared.append(self._prepare(item, encoding.ids, targets))
        return prepared

    def condense(self, row: Row, outputs: Tensors) -> Tensors:
        """Of a row's logits the best tokens and their probabilities, best first."""
        assert isinstance(row, MaskedRow)
        logits = outputs["logits"].astype(np.float64)
        logits -= logits.max()
        total = np.exp(logits).sum()
        ids = None if row.targets is None else np.array(row.targets)
        chosen = logits if ids is None else logits[ids]
        count = min(row.top_k, len(chosen))
        best = np.argpartition(-chosen, count - 1)[:count]
        best = best[np.lexsort((best, -chosen[best]))]
        return {
            "tokens": best if ids is None else ids[best],
            "scores": np.exp(chosen[best]) / total,
        }

    def postprocess(
        self, item: FillMaskItem, prepared: Prepared, outputs: Sequence[Tensors]
    ) -> list[Any]:
        """Every proposal with the text that it makes."""
        ids: list[int] = prepared.context
        row = self.tokenizer.row(ids).input_ids
        start = len(self.tokenizer.single_prefix)
        places = [start + place for place, one in enumerate(ids) if one == self.mask_id]
        answers = [
            [
                self._proposal(row, place, token, score, alone=len(places) == 1)
                for token, score in zip(
                    output["tokens"].tolist(), output["scores"].tolist(), strict=True
                )
            ]
            for place, output in zip(places, outputs, strict=True)
        ]
        return answers[0] if len(answers) == 1 else answers

    def _proposal(
        self, row: list[int], place: int, token: int, score: float, *, alone: bool
    ) -> Proposal:
        """The other masks of a text stay visible, as in transformers; its special tokens too."""
        filled = [*row[:place], token, *row[place + 1 :]]
        return Proposal(
            score=score,
            token=token,
            token_str=self.detokenizer.decode([token], special=True),
            sequence=self.detokenizer.decode(filled, special=not alone),
        )

    def _prepare(
        self, item: FillMaskItem, ids: list[int], targets: tuple[int, ...] | None
    ) -> Prepared | ServingError:
        tokenizer, long = self.tokenizer, item.parameters.long
        room = tokenizer.room()
        truncated = len(ids) > room and long == "truncate"
        if truncated:
            ids = ids[:room]
        elif len(ids) > room and long == "error":
            limit = tokenizer.max_tokens
            return InputTooLong(len(ids) + limit - room, limit)
        places = [place for place, one in enumerate(ids) if one == self.mask_id]
        if not places:
            where = "what is left of the text" if truncated else "the text"
            return InvalidRequest(
                f"{where} has no mask; write {tokenizer.mask} where a word is missing."
            )
        if len(places) > MAX_MASKS:
            return InvalidRequest(
                f"the text has {len(places)} masks; at most {MAX_MASKS} are filled at once."
            )
        if targets == ():
            return InvalidRequest("parameters.targets: none of them has a token of this model.")
        rows: list[Row] = []
        windows = set()
        for place in places:
            # As much on the left as on the right, as far as there is text.
            start = max(0, min(place - room // 2, len(ids) - room))
            windows.add(start)
            whole = tokenizer.row(ids[start : start + room])
            position = len(tokenizer.single_prefix) + place - start
            top_k = item.parameters.top_k
            rows.append(MaskedRow(whole.input_ids, whole.token_type_ids, position, top_k, targets))
        return Prepared(rows, truncated, ids, windows=len(windows))

    def _target_ids(self, words: Sequence[str]) -> tuple[int, ...]:
        """The id of each word, or of its first token where it is not in the vocabulary."""
        found = set()
        for word in words:
            known = self.vocabulary.get(word)
            ids = [known] if known is not None else self.tokenizer.encode([word])[0].ids[:1]
            found.update(ids)
        return tuple(sorted(found))
