"""Extractive question answering: the span of a context that answers a question.

The context is read in windows that overlap, each behind the question; the best spans of all windows
are put together. Windows, scores and merging are those of the ``question-answering`` pipeline of
transformers 4.57, which transformers 5 no longer has; ``docs/tasks/question_answering.md`` lists
where this one differs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Encoding

from contracts.errors import InputTooLong, InvalidRequest, ServingError
from contracts.schemas import Answer, QaItem, QaParameters
from contracts.tasks import Task
from contracts.tensors import Array, Tensors
from handlers.answers import Spans, best_spans, probabilities
from handlers.base import Handler, Prepared
from handlers.tokenization import Window, dense, windows

DEFAULT_SEQ_TOKENS = 384
"""Tokens of one window unless the caller asks for another number."""
DEFAULT_STRIDE_TOKENS = 128
MAX_TOP_K = 1000
"""Answers of one request: each costs a pass through Python, in the engine that others wait for."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A context and the windows it is read in.

    Attributes:
        encoding: of the whole context, without special tokens.
        windows: the slice of the context in each row, in tokens.
        begin: index of the context's first token in every row.
    """

    encoding: Encoding
    windows: list[Window]
    begin: int


class QuestionAnsweringHandler(Handler[QaItem, Answer | list[Answer]]):
    """One answer per question, or a list of them, best first, where ``top_k`` is above 1."""

    task = Task.QUESTION_ANSWERING
    item = QaItem
    per_token = True

    def preprocess(self, items: Sequence[QaItem]) -> list[Prepared | ServingError]:
        """One row per window of the context, or an error; a text that repeats is encoded once."""
        texts = dict.fromkeys(text for item in items for text in (item.question, item.context))
        encodings = dict(zip(texts, self.tokenizer.encode(list(texts)), strict=True))
        return [
            self._prepare(item, encodings[item.question].ids, encodings[item.context])
            for item in items
        ]

    def postprocess(
        self, item: QaItem, prepared: Prepared, outputs: Sequence[Tensors]
    ) -> Answer | list[Answer]:
        """Merge the spans of all windows.

        Spans with one text, upper or lower case, are one answer: the first that was found, with the
        sum of their scores. The empty answer has the smallest "no answer" probability of all.
        """
        reading: Reading = prepared.context
        parameters = item.parameters
        null = 0 if self.tokenizer.pair_prefix else None
        # Spans that become one word are merged, so more than top_k are looked at.
        count = 2 * parameters.top_k + 10 if parameters.align_to_words else parameters.top_k
        found: dict[str, Answer] = {}
        no_answer = 1.0
        offsets = np.array(reading.encoding.offsets)
        words = _word_ids(reading.encoding) if parameters.align_to_words else None
        for window, output in zip(reading.windows, outputs, strict=True):
            edge = reading.begin + window.end - window.start
            start, start_null = probabilities(output["start_logits"], reading.begin, edge, null)
            end, end_null = probabilities(output["end_logits"], reading.begin, edge, null)
            no_answer = min(no_answer, start_null * end_null)
            spans = best_spans(start, end, count, parameters.max_answer_len)
            starts, ends = _characters(spans, window, offsets, words)
            for begin, stop, score in zip(starts, ends, spans.scores.tolist(), strict=True):
                text = item.context[begin:stop]
                known = found.setdefault(
                    text.lower(), Answer(answer=text, score=0.0, start=begin, end=stop)
                )
                known["score"] += score
        answers = list(found.values())
        if parameters.handle_impossible_answer:
            answers.append(Answer(answer="", score=no_answer, start=0, end=0))
        answers.sort(key=lambda answer: -answer["score"])
        answers = [_trimmed(answer) for answer in answers[: parameters.top_k]]
        return answers[0] if parameters.top_k == 1 else answers

    def _prepare(
        self, item: QaItem, question: list[int], context: Encoding
    ) -> Prepared | ServingError:
        tokenizer, parameters = self.tokenizer, item.parameters
        size = parameters.max_seq_len or min(tokenizer.max_tokens, DEFAULT_SEQ_TOKENS)
        tokens = len(context)
        kept = question[: parameters.max_question_len]
        room = tokenizer.room(pair_with=len(kept), max_tokens=size)
        stride = parameters.doc_stride
        if stride is None:
            stride = min(size // 2, DEFAULT_STRIDE_TOKENS)
            # A question that takes half a window: transformers fails here.
            stride = stride if stride < room else room // 2
        error = self._refusal(parameters, size, len(question), tokens)
        if error is not None:
            return error
        if parameters.long == "truncate":
            slices = [Window(0, min(tokens, room))]
        elif dense(tokens, room, stride):
            return InvalidRequest(
                f"parameters.doc_stride is {stride}: for a context of {tokens} tokens it must be "
                f"at most {room // 2}, half of a window."
            )
        elif tokens <= room or stride < room:
            slices = windows(tokens, room, stride)
        else:
            return InvalidRequest(
                f"parameters.doc_stride is {stride} and must be below {room}, the tokens of the "
                "context in one window beside this question."
            )
        rows = [tokenizer.pair_row(kept, context.ids[one.start : one.end]) for one in slices]
        truncated = len(kept) < len(question) or slices[-1].end < tokens
        return Prepared(
            rows, truncated, Reading(context, slices, tokenizer.second_start(len(kept)))
        )

    def _refusal(
        self, parameters: QaParameters, size: int, question_tokens: int, context_tokens: int
    ) -> ServingError | None:
        """What is wrong with an item whose windows have ``size`` tokens; None: nothing."""
        limit = self.tokenizer.max_tokens
        kept = min(question_tokens, parameters.max_question_len)
        if parameters.top_k > MAX_TOP_K:
            return InvalidRequest(f"parameters.top_k must be at most {MAX_TOP_K}.")
        if size > limit:
            return InvalidRequest(
                f"parameters.max_seq_len is {size} and the model accepts {limit} tokens."
            )
        if parameters.doc_stride is not None and parameters.doc_stride > size:
            return InvalidRequest(
                f"parameters.doc_stride is {parameters.doc_stride} and must not be above "
                f"parameters.max_seq_len, which is {size}."
            )
        if self.tokenizer.room(pair_with=kept, max_tokens=size) < 1:
            return InvalidRequest(
                f"The question takes {kept} of the {size} tokens of parameters.max_seq_len and "
                "leaves no room for the context; ask a shorter question or lower max_question_len."
            )
        if not context_tokens:
            return InvalidRequest("inputs.context has no character that the model can read.")
        if parameters.long != "error":
            return None
        if kept < question_tokens:
            return InvalidRequest(
                f"The question has {question_tokens} tokens and parameters.max_question_len is "
                f'{kept}; raise it, or send parameters.long = "window".'
            )
        room = self.tokenizer.room(pair_with=kept)
        return InputTooLong(context_tokens + limit - room, limit) if context_tokens > room else None


def _word_ids(encoding: Encoding) -> Array | None:
    """The word of each token, ascending; None for a tokenizer that does not know words."""
    words = encoding.word_ids
    return None if None in words else np.array(words)


def _characters(
    spans: Spans, window: Window, offsets: Array, words: Array | None
) -> tuple[list[int], list[int]]:
    """Character ``[start, end)`` of each span, or of the words that it touches in the window."""
    first, last = spans.first + window.start, spans.last + window.start
    if words is not None:
        inside = words[window.start : window.end]
        first = np.searchsorted(inside, words[first], "left") + window.start
        last = np.searchsorted(inside, words[last], "right") + window.start - 1
    return offsets[first, 0].tolist(), offsets[last, 1].tolist()


def _trimmed(answer: Answer) -> Answer:
    """Without the white space that some tokenizers count to a token; scores and order stay."""
    text = answer["answer"]
    start = answer["start"] + len(text) - len(text.lstrip())
    text = text.strip()
    return Answer(answer=text, score=answer["score"], start=start, end=start + len(text))
