"""Generation by sequence-to-sequence models: text -> rows for the encoder, tokens -> answer.

A document that is longer than the model is refused, cut, or read in passages: a summary of passages
is made of their summaries (map and reduce, again while they are still too long); other answers are
joined in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tokenizers import Encoding

from contracts.errors import InputTooLong, InvalidRequest, ServingError
from contracts.generation import Generated, GenerationItem, Token
from contracts.tasks import Task
from handlers.base import Prepared
from handlers.decoding.search import Ended, Stops
from handlers.decoding.settings import Decoding, resolve
from handlers.detokenizer import Detokenizer, TextStream
from handlers.languages import Languages
from handlers.passages import passages
from handlers.stop_strings import StopStrings
from handlers.tokenization import Row, TextTokenizer
from model_store.manifest import Manifest

MAX_PASSES = 8
"""Summaries of summaries at most; each pass is shorter, or it is the last."""


@dataclass(frozen=True, slots=True)
class Request:
    """How the rows of one item are decoded.

    Attributes:
        decoding: the parameters.
        stops: of its stop strings, or None.
        tokens_in: that the encoder reads, over all passes.
        details: whether the answer tells its tokens.
        passes: how often summaries were summed up again.
    """

    decoding: Decoding
    stops: Stops | None
    tokens_in: int
    details: bool
    passes: int = 0


class GenerationHandler:
    """One sequence-to-sequence model's texts, for any task."""

    def __init__(self, manifest: Manifest, tokenizer: TextTokenizer) -> None:
        """Look up what every answer needs."""
        self.manifest = manifest
        self.task = manifest.task
        self.tokenizer = tokenizer
        self.detokenizer = Detokenizer(tokenizer.raw, clean_up=tokenizer.clean_up)
        self.languages = Languages(tokenizer)
        self._prefix: str = manifest.generation_defaults.get("prefix") or ""
        """Of the checkpoint, before every text: T5's ``summarize: ``."""

    def preprocess(self, items: Sequence[GenerationItem]) -> list[Prepared | ServingError]:
        """Rows of all items; all texts are encoded in one call.

        Returns:
            One entry per item, in order; ``context`` is a ``Request``.
        """
        encodings = self.tokenizer.encode([self._prefix + item.text for item in items])
        prepared: list[Prepared | ServingError] = []
        for item, encoding in zip(items, encodings, strict=True):
            try:
                prepared.append(self._prepare(item, encoding))
            except ServingError as error:
                prepared.append(error)
        return prepared

    def postprocess(
        self, item: GenerationItem, prepared: Prepared, outputs: Sequence[Ended]
    ) -> Generated | Prepared:
        """Make the answer, or the rows of one more pass.

        Args:
            item: the item as it came.
            prepared: what ``preprocess``, or the pass before, returned for it.
            outputs: per row, in order.
        """
        request: Request = prepared.context
        texts = [self.text(item, output.ids) for output in outputs]
        text = texts[0] if len(texts) == 1 else " ".join(filter(None, map(str.strip, texts)))
        if len(texts) > 1 and self.task is Task.SUMMARIZATION and request.passes < MAX_PASSES:
            again = self._again(item, text, request, rows=len(texts))
            if again is not None:
                return again
        return self._answer(item, text, outputs, request)

    def text(self, item: GenerationItem, ids: Sequence[int]) -> str:
        """The text of generated tokens, as the item wants it."""
        return self.detokenizer.decode(ids, clean_up=item.parameters.clean_up_tokenization_spaces)

    def stream(self, item: GenerationItem) -> TextStream:
        """For the text of an answer piece by piece."""
        return TextStream(self.detokenizer, clean_up=item.parameters.clean_up_tokenization_spaces)

    def token(self, id: int, text: str, logprob: float) -> Token:
        """One token as it is told."""
        return Token(id=id, text=text, logprob=logprob, special=self.detokenizer.special(id))

    def _prepare(self, item: GenerationItem, encoding: Encoding) -> Prepared:
        given = item.parameters.decoding()
        target = item.parameters.tgt_lang
        if target is not None and "forced_bos_token_id" not in given:
            forced = self.languages.forced_bos(target)
            if forced is not None:
                given["forced_bos_token_id"] = forced
        decoding = resolve(given, self.manifest.generation_defaults)
        stops = StopStrings(decoding.stop, self.detokenizer).complete if decoding.stop else None
        if not encoding.ids:
            raise InvalidRequest("inputs has no character that the model can read.")
        rows, cut = self._rows(item, encoding)
        return Prepared(
            rows, cut, Request(decoding, stops, sum(map(len, rows)), bool(item.parameters.details))
        )

    def _rows(self, item: GenerationItem, encoding: Encoding) -> tuple[list[Row], bool]:
        """The rows of a text behind its prefix, and whether some of it was cut off."""
        parameters, ids = item.parameters, encoding.ids
        room = self._room(item)
        wanted = room if parameters.truncate is None else min(room, parameters.truncate)
        long = parameters.long or self.manifest.generation_defaults.get("long", "error")
        if parameters.truncate or parameters.truncation not in (None, "do_not_truncate"):
            long = "truncate"
        if len(ids) <= wanted:
            return [self._row(item, ids)], False
        if long == "truncate":
            return [self._row(item, ids[:wanted])], True
        if long == "error":
            around = self.tokenizer.max_tokens - room
            raise InputTooLong(len(ids) + around, self.tokenizer.max_tokens)
        return self._passages(item, item.text, encoding), False

    def _passages(self, item: GenerationItem, text: str, encoding: Encoding) -> list[Row]:
        """One row for each passage of a text; the prefix stands before every one."""
        ids, offsets = encoding.ids, encoding.offsets
        end = len(self._prefix.rstrip())
        head = sum(1 for _, stop in offsets if stop <= end) if end else 0
        room = self._room(item) - head
        if room < 1:
            raise InputTooLong(len(ids), self.tokenizer.max_tokens)
        parts = passages(self._prefix + text, encoding, room, first=head)
        return [self._row(item, [*ids[:head], *ids[start:stop]]) for start, stop in parts]

    def _room(self, item: GenerationItem) -> int:
        """Tokens of text, prefix included, that one row holds."""
        prefix, suffix = self.languages.around(item.parameters.src_lang, item.parameters.tgt_lang)
        return self.tokenizer.max_tokens - len(prefix) - len(suffix)

    def _row(self, item: GenerationItem, ids: Sequence[int]) -> Row:
        parameters = item.parameters
        return self.languages.source_row(ids, parameters.src_lang, parameters.tgt_lang)

    def _again(
        self, item: GenerationItem, text: str, request: Request, rows: int
    ) -> Prepared | None:
        """The next pass over joined summaries; None where it would bring nothing."""
        if not text.strip():
            return None
        again = self._passages(item, text, self.tokenizer.encode([self._prefix + text])[0])
        if len(again) >= rows:
            return None
        tokens_in = request.tokens_in + sum(map(len, again))
        following = replace(request, tokens_in=tokens_in, passes=request.passes + 1)
        return Prepared(again, False, following)

    def _answer(
        self, item: GenerationItem, text: str, outputs: Sequence[Ended], request: Request
    ) -> Generated:
        full = item.text + text if item.parameters.return_full_text else text
        answer = Generated(summary_text=text, translation_text=text, generated_text=full)
        if item.parameters.details:
            tokens: list[Any] = []
            for output in outputs:
                for id, logprob in zip(output.ids, output.logprobs, strict=True):
                    tokens.append(self.token(id, self.detokenizer.piece(id), logprob))
            answer["details"] = {
                "finish_reason": outputs[-1].reason,
                "generated_tokens": len(tokens),
                "seed": request.decoding.seed,
                "prefill": [],
                "tokens": tokens,
            }
        return answer
