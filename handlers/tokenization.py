"""From text to token rows: batch encoding, special tokens, windows.

Texts are encoded once, without special tokens; rows are then put together from slices, because a
window of a long text needs its own special tokens. The template of those is read off the tokenizer
itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tokenizers import Encoding, Tokenizer

from contracts.errors import CheckpointError
from model_store.tokenizer import cleans_up_spaces, load_tokenizer, mask_token

MANY_WINDOWS = 256
"""More of them than this must not share more than half of their tokens."""


@dataclass(frozen=True, slots=True)
class Row:
    """One token sequence with its special tokens; what is padded and batched."""

    input_ids: list[int]
    token_type_ids: list[int]

    def __len__(self) -> int:
        """Tokens, special tokens included."""
        return len(self.input_ids)


@dataclass(frozen=True, slots=True)
class MaskedRow(Row):
    """A row with the mask that is proposed for."""

    mask_position: int
    """Of the mask among the row's tokens."""
    top_k: int
    targets: tuple[int, ...] | None
    """The only ids that are scored, ascending; None: all."""


@dataclass(frozen=True, slots=True)
class Window:
    """A slice ``[start, end)`` of an encoded text, in tokens."""

    start: int
    end: int


class TextTokenizer:
    """A Rust tokenizer without padding or truncation, and the special tokens of its model.

    Attributes:
        max_tokens: tokens the model accepts in one row, special tokens included.
        pad_id: the id that fills a padded row.
        single_prefix: special tokens before a lone text; also ``single_suffix``, and
            ``pair_prefix``, ``pair_middle``, ``pair_suffix`` around two texts. ``pair_types`` are
            the token types of the first and the second text.
        clean_up: whether the checkpoint wants spaces before punctuation taken away from what it
            generates.
        mask: the token that stands for a missing one, as text; None: there is none.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        max_tokens: int,
        pad_id: int,
        *,
        clean_up: bool = False,
        mask: str | None = None,
    ) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.raw = tokenizer
        self.max_tokens = max_tokens
        self.pad_id = pad_id
        self.clean_up = clean_up
        self.mask = mask
        single = tokenizer.encode("a")
        pair = tokenizer.encode("a", "a")
        single_parts = _special_runs(single)
        pair_parts = _special_runs(pair)
        if len(single_parts) != 2 or len(pair_parts) != 3:
            raise CheckpointError(
                "The tokenizer's post-processor does not keep texts apart;"
                " save it again with transformers."
            )
        self.single_prefix, self.single_suffix = single_parts
        self.pair_prefix, self.pair_middle, self.pair_suffix = pair_parts
        sequence_ids = pair.sequence_ids
        self.pair_types = (
            pair.type_ids[sequence_ids.index(0)],
            pair.type_ids[sequence_ids.index(1)],
        )

    @classmethod
    def load(cls, folder: Path, max_tokens: int) -> Self:
        """Read the tokenizer of a checkpoint folder.

        Raises:
            CheckpointError: the folder has no tokenizer that can be read.
        """
        raw, pad_id = load_tokenizer(folder)
        return cls(
            raw,
            max_tokens,
            pad_id,
            clean_up=cleans_up_spaces(folder),
            mask=mask_token(raw, folder),
        )

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode in one batch without special tokens, with character offsets into each text."""
        if len(texts) == 1:  # a batch of one would wake the library's threads for nothing
            return [self.raw.encode(texts[0], add_special_tokens=False)]
        encodings: list[Encoding] = self.raw.encode_batch(list(texts), add_special_tokens=False)
        return encodings

    def room(self, *, pair_with: int | None = None, max_tokens: int | None = None) -> int:
        """Tokens of text that fit in one row.

        Args:
            pair_with: tokens of a first text that the row also holds; None for a lone text.
            max_tokens: a smaller row than the model's, or None.
        """
        row = min(self.max_tokens, max_tokens or self.max_tokens)
        if pair_with is None:
            return row - len(self.single_prefix) - len(self.single_suffix)
        return (
            row - pair_with - len(self.pair_prefix) - len(self.pair_middle) - len(self.pair_suffix)
        )

    def row(self, ids: Sequence[int]) -> Row:
        """A lone text with its special tokens; the text starts at ``len(single_prefix)``."""
        input_ids = [*self.single_prefix, *ids, *self.single_suffix]
        return Row(input_ids, [0] * len(input_ids))

    def pair_row(self, first: Sequence[int], second: Sequence[int]) -> Row:
        """Two texts with their special tokens; see ``second_start`` for where the second begins."""
        head = [*self.pair_prefix, *first, *self.pair_middle]
        tail = [*second, *self.pair_suffix]
        head_type, tail_type = self.pair_types
        return Row(head + tail, [head_type] * len(head) + [tail_type] * len(tail))

    def second_start(self, first_tokens: int) -> int:
        """Index of the second text's first token in a ``pair_row``."""
        return len(self.pair_prefix) + first_tokens + len(self.pair_middle)


def dense(tokens: int, room: int, stride: int) -> bool:
    """Whether windows overlap so much that a long text would become many times its own work.

    A caller chooses the stride; without this limit one text could fill the queue for all.
    """
    return stride > room // 2 and tokens > room + MANY_WINDOWS * (room - stride)


def windows(tokens: int, room: int, stride: int) -> list[Window]:
    """Cover a text with slices of at most ``room`` tokens that overlap by ``stride``.

    The same windows as truncation with ``stride`` and ``return_overflowing_tokens`` in
    transformers: the last one ends with the text and may be shorter.

    Raises:
        ValueError: the stride leaves no step forward.
    """
    if tokens <= room:
        return [Window(0, tokens)]
    if not 0 <= stride < room:
        raise ValueError(f"stride {stride} must be below the {room} tokens of a window")
    step = room - stride
    starts = range(0, tokens - stride, step)
    return [Window(start, min(start + room, tokens)) for start in starts]


def _special_runs(encoding: Encoding) -> list[list[int]]:
    """Runs of special tokens around and between the texts of an encoding.

    A run may be empty: sequence-to-sequence models have nothing in front of a text, and nothing
    between two.
    """
    runs: list[list[int]] = [[]]
    inside = None
    for token_id, sequence in zip(encoding.ids, encoding.sequence_ids, strict=True):
        if sequence is None:
            runs[-1].append(token_id)
        elif sequence != inside:
            runs.append([])
        inside = sequence
    return runs
