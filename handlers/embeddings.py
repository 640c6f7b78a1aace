"""Feature extraction and sentence similarity: one embedding per text.

The backend pools (see ``model_store.embedding``). Here a text longer than the model is read in
windows, and its embedding is the mean of theirs, weighted by their tokens; then an embedding is cut
to the dimensions that were asked for, and brought to length 1.
"""

from collections.abc import Sequence

import numpy as np

from contracts.embeddings import (
    EmbeddingItem,
    EmbeddingParameters,
    SimilarityItem,
    SimilarityParameters,
)
from contracts.errors import InputTooLong, InvalidRequest, ServingError
from contracts.tasks import Task
from contracts.tensors import Array, Tensors
from handlers.base import Handler, Prepared
from handlers.tokenization import Row, TextTokenizer
from model_store.embedding import Embedding
from model_store.manifest import Manifest

LONGEST_PROMPT_SHARE = 2
"""Of a row, a prompt that stands in every window may fill one part in this many."""


class Reader:
    """From texts to rows, the same for both tasks."""

    def __init__(self, settings: Embedding, tokenizer: TextTokenizer) -> None:
        self.settings = settings
        self.tokenizer = tokenizer
        self.prompts = {
            name: tokenizer.encode([self._cased(prompt)])[0].ids if prompt else []
            for name, prompt in settings.prompts.items()
        }
        """The tokens of each prompt alone, for the windows behind the first."""

    def encode(
        self, asked: Sequence[tuple[Sequence[str], SimilarityParameters]]
    ) -> list[list[list[int]] | InvalidRequest]:
        """The token ids of every text, in one call for all.

        Args:
            asked: the texts of each item, and how they are read.

        Returns:
            Per item the ids of its texts, or what is wrong with its parameters.
        """
        refusals = [self._refusal(parameters) for _, parameters in asked]
        good = [one for one, refusal in zip(asked, refusals, strict=True) if refusal is None]
        encoded = iter(
            self.tokenizer.encode(
                [self._prompted(text, parameters) for texts, parameters in good for text in texts]
            )
        )
        return [
            refusal or [next(encoded).ids for _ in texts]
            for (texts, _), refusal in zip(asked, refusals, strict=True)
        ]

    def rows(
        self, ids: list[int], parameters: SimilarityParameters
    ) -> tuple[list[Row], bool] | InputTooLong:
        """The rows of one text, and whether it was cut."""
        tokenizer = self.tokenizer
        room = tokenizer.room()
        if len(ids) <= room:
            return [tokenizer.row(ids)], False
        name = self._prompt_name(parameters)
        prompt = self.prompts[name] if name else []
        if parameters.truncate or parameters.long == "truncate":
            if parameters.truncation_direction == "right":
                return [tokenizer.row(ids[:room])], True
            kept = max(room - len(prompt), 0)
            return [tokenizer.row([*prompt[:room], *ids[len(ids) - kept :]])], True
        if parameters.long == "error" or len(prompt) > room // LONGEST_PROMPT_SHARE:
            return InputTooLong(len(ids) + tokenizer.max_tokens - room, tokenizer.max_tokens)
        text = ids[len(prompt) :]
        pieces = even_parts(len(text), room - len(prompt))
        return [tokenizer.row([*prompt, *text[start:end]]) for start, end in pieces], False

    def embedding(self, rows: Sequence[Row], outputs: Sequence[Tensors]) -> Array:
        """The mean over one text's rows, weighted by their tokens, float32."""
        vectors = [output["embeddings"] for output in outputs]
        if len(vectors) == 1:
            return vectors[0]
        weights = np.array([len(row) for row in rows], dtype=np.float32)
        mean: Array = np.average(np.stack(vectors), axis=0, weights=weights).astype(np.float32)
        return mean

    def _refusal(self, parameters: SimilarityParameters) -> InvalidRequest | None:
        """What is wrong with parameters that only the model can tell."""
        prompts, name = self.settings.prompts, parameters.prompt_name
        if name is not None and name not in prompts:
            known = f"it has {', '.join(prompts)}" if prompts else "it has none"
            return InvalidRequest(f"prompt_name: the model has no prompt {name!r}; {known}.")
        dimensions = parameters.dimensions
        if dimensions is not None and dimensions > self.settings.dimensions:
            return InvalidRequest(
                f"dimensions is {dimensions}, and the model's embeddings have "
                f"{self.settings.dimensions}."
            )
        return None

    def _prompted(self, text: str, parameters: SimilarityParameters) -> str:
        name = self._prompt_name(parameters)
        return self._cased(self.settings.prompts[name] + text if name else text)

    def _prompt_name(self, parameters: SimilarityParameters) -> str | None:
        return parameters.prompt_name or self.settings.default_prompt

    def _cased(self, text: str) -> str:
        return text.lower() if self.settings.lowercase else text


class FeatureExtractionHandler(Handler[EmbeddingItem, Array]):
    """One embedding per text, float32 ``(dimensions,)``."""

    task = Task.FEATURE_EXTRACTION
    item = EmbeddingItem
    per_token = False

    def __init__(self, manifest: Manifest, tokenizer: TextTokenizer) -> None:
        """Read how the model embeds."""
        super().__init__(manifest, tokenizer)
        self.reader = reader_of(manifest, tokenizer)

    def preprocess(self, items: Sequence[EmbeddingItem]) -> list[Prepared | ServingError]:
        """One row per text, or several windows, or an error."""
        read = self.reader.encode([((item.text,), item.parameters) for item in items])
        return [
            texts if isinstance(texts, ServingError) else self._prepare(item, texts[0])
            for item, texts in zip(items, read, strict=True)
        ]

    def postprocess(
        self, item: EmbeddingItem, prepared: Prepared, outputs: Sequence[Tensors]
    ) -> Array:
        """The mean of the windows, cut, and of length 1 where that is asked for or usual."""
        parameters: EmbeddingParameters = item.parameters
        vector = self.reader.embedding(prepared.rows, outputs)[: parameters.dimensions]
        usual = self.reader.settings.normalize
        wanted = usual if parameters.normalize is None else parameters.normalize
        return np.ascontiguousarray(normalized(vector) if wanted else vector)

    def _prepare(self, item: EmbeddingItem, ids: list[int]) -> Prepared | ServingError:
        if item.token_ids is not None:
            size = self.tokenizer.raw.get_vocab_size()
            if max(item.token_ids) >= size:
                return InvalidRequest(
                    f"token id {max(item.token_ids)}: the model's tokenizer has {size} tokens; send"
                    " its own ids, or text."
                )
            ids = [*ids, *item.token_ids]  # behind those of the prompt
        read = self.reader.rows(ids, item.parameters)
        return read if isinstance(read, ServingError) else Prepared(*read)


class SentenceSimilarityHandler(Handler[SimilarityItem, list[float]]):
    """The cosine of each sentence with the source, in order."""

    task = Task.SENTENCE_SIMILARITY
    item = SimilarityItem
    per_token = False

    def __init__(self, manifest: Manifest, tokenizer: TextTokenizer) -> None:
        """Read how the model embeds."""
        super().__init__(manifest, tokenizer)
        self.reader = reader_of(manifest, tokenizer)

    def preprocess(self, items: Sequence[SimilarityItem]) -> list[Prepared | ServingError]:
        """The rows of the source, then those of each sentence; a text that repeats is read once."""
        read = self.reader.encode([(distinct(item), item.parameters) for item in items])
        return [
            texts if isinstance(texts, ServingError) else self._prepare(item, texts)
            for item, texts in zip(items, read, strict=True)
        ]

    def postprocess(
        self, item: SimilarityItem, prepared: Prepared, outputs: Sequence[Tensors]
    ) -> list[float]:
        """Cosines of the embeddings, cut to the dimensions asked for."""
        counts: list[int] = prepared.context
        vectors = []
        start = 0
        for count in counts:
            part = slice(start, start + count)
            vector = self.reader.embedding(prepared.rows[part], outputs[part])
            vectors.append(normalized(vector[: item.parameters.dimensions]))
            start += count
        cosines = (np.stack(vectors) @ vectors[0]).tolist()
        by_text = dict(zip(distinct(item), cosines, strict=True))
        return [by_text[text] for text in item.sentences]

    def _prepare(self, item: SimilarityItem, texts: list[list[int]]) -> Prepared | ServingError:
        rows: list[Row] = []
        counts = []
        truncated = False
        for ids in texts:
            read = self.reader.rows(ids, item.parameters)
            if isinstance(read, ServingError):
                return read
            rows += read[0]
            counts.append(len(read[0]))
            truncated |= read[1]
        return Prepared(rows, truncated, counts, windows=max(counts))


def distinct(item: SimilarityItem) -> list[str]:
    """The texts of an item, each once, the source first."""
    return list(dict.fromkeys((item.source, *item.sentences)))


def reader_of(manifest: Manifest, tokenizer: TextTokenizer) -> Reader:
    """The reader of a model that embeds."""
    if manifest.embedding is None:
        raise ValueError(f"a manifest of {manifest.task} without embedding")
    return Reader(manifest.embedding, tokenizer)


def normalized(vector: Array) -> Array:
    """Brought to length 1; zeros stay zeros."""
    length = np.sqrt(np.dot(vector, vector))
    scaled: Array = vector / max(length, np.float32(1e-12))
    return scaled


def even_parts(tokens: int, room: int) -> list[tuple[int, int]]:
    """Cut ``tokens`` into as few parts of at most ``room`` as there can be, alike in length."""
    parts = -(-tokens // room)
    return [(tokens * i // parts, tokens * (i + 1) // parts) for i in range(parts)]
