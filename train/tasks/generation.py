"""Answers that are written token by token: summaries, translations, any text for a text.

Training is teacher forcing: the decoder reads the right answer one token behind, and its logits are
compared with it. Scores are taken from answers that the server's own pipeline generates.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts.errors import CheckpointError, ServingError
from contracts.generation import Generated, GenerationItem, GenerationParameters
from contracts.tasks import Task
from handlers.base import Prepared
from handlers.generation import GenerationHandler
from handlers.generation_pipeline import GenerationPipeline
from handlers.selection import join
from handlers.sentences import sentences
from handlers.tokenization import TextTokenizer
from model_store.derive import TASK_KEY
from model_store.generating import MAX_TARGET_TOKENS
from model_store.manifest import Manifest
from train.artifacts import sample
from train.data.tables import TableRow, blank, read_table
from train.recipe_model import Model
from train.rows import IGNORED, LabelledRow
from train.scores import chrf, rouge_l, rouge_n, words
from train.seq2seq_base import load_seq2seq, untrained_seq2seq
from train.tasks.base import Example, Scores, TrainTask

if TYPE_CHECKING:
    from torch import Tensor

LEAD = 3
"""Sentences of the baseline that takes the first ones, as the field does."""


@dataclass(frozen=True, slots=True)
class Pair(Example):
    """A text and its answer."""

    text: str
    target: str
    others: tuple[str, ...] = ()
    """Other people's answers: what is near to one of them is right."""

    @property
    def references(self) -> tuple[str, ...]:
        """All answers."""
        return (self.target, *self.others)


class GenerationTraining(TrainTask):
    """Sequence-to-sequence models; subclasses say what is measured."""

    task = Task.TEXT2TEXT_GENERATION
    metric = "rougeL"
    auto_class = "AutoModelForSeq2SeqLM"
    per_token = True
    own_length = True
    windows = False
    generates = True

    def read(self, path: Path) -> list[Pair]:
        """One example per table row."""
        examples = [self._example(row) for row in read_table(path, self.recipe.data)]
        if not examples:
            raise CheckpointError(f"{path} holds no examples.")
        return examples

    def learn_labels(self, examples: Sequence[Pair]) -> None:
        """There are none."""

    @property
    def config(self) -> dict[str, Any]:
        """The task, which the architecture does not tell."""
        return {TASK_KEY: str(self.task)}

    @property
    def generation_defaults(self) -> dict[str, Any]:
        """Answers as long as those that were learnt, and no longer."""
        return {"max_new_tokens": self.recipe.model.max_target_tokens}

    def load(self, model: Model) -> Any:
        """A sequence-to-sequence checkpoint, or two encoders joined."""
        return load_seq2seq(model, self.config)

    def untrained(self, model: Model) -> Any:
        """Its shape."""
        return untrained_seq2seq(model, self.config)

    def handler(self, manifest: Manifest, tokenizer: TextTokenizer) -> GenerationHandler:
        """The one handler of all tasks that generate."""
        return GenerationHandler(manifest, tokenizer)

    def live_answers(
        self, model: Any, handler: GenerationHandler, items: Sequence[Any], *, bf16: bool
    ) -> list[Any]:
        """Answers in float32, whatever the steps compute in: as the reference will give them."""
        from model_store.backends.seq2seq.torch import TorchSeq2Seq

        backend = TorchSeq2Seq(model, "fp32", model.device.type)
        return list(GenerationPipeline(handler, backend)(items))

    def watched(self, dev: Sequence[Pair]) -> list[Pair]:
        """Some: to generate takes long."""
        return sample(dev, self.recipe.data.dev_generations, self.recipe.seed)

    def vocabulary(self, examples: Sequence[Pair]) -> Iterator[str]:
        """Sources and answers."""
        return (text for one in examples for text in (one.text, one.target))

    def length(self, row: LabelledRow) -> int:
        """Source and answer."""
        return len(row) + len(row.targets["labels"])

    def rows(self, examples: Sequence[Pair], handler: GenerationHandler) -> list[LabelledRow]:
        """One row per example: the source as serving reads it, cut where it is too long."""
        parameters = GenerationParameters(long="truncate")
        items = [GenerationItem(example.text, parameters) for example in examples]
        answers = handler.tokenizer.encode([example.target for example in examples])
        longest = self.recipe.model.max_target_tokens
        longest = min(longest, handler.manifest.generation_defaults.get(MAX_TARGET_TOKENS, longest))
        rows: list[LabelledRow] = []
        for example, one, answer in zip(examples, handler.preprocess(items), answers, strict=True):
            if isinstance(one, ServingError):
                raise CheckpointError(f"{example.where}: {one}")
            ids = target_ids(answer.ids, handler)
            if one.truncated:
                self.note("sources cut in training")
            if len(ids) > longest:
                self.note("answers cut in training")
            rows.append(LabelledRow(one.rows[0], {"labels": cut(ids, longest)}))
        return rows

    def targets(
        self, example: Pair, prepared: Prepared, tokenizer: TextTokenizer
    ) -> list[dict[str, Any]]:
        """Made with the rows, since they depend on how the decoder begins."""
        raise NotImplementedError("see rows")

    def inputs(self, model: Any, batch: dict[str, "Tensor"]) -> dict[str, "Tensor"]:
        """The source, and the right answer behind the start token: the model itself shifts it."""
        shifted = model.prepare_decoder_input_ids_from_labels(batch["labels"])
        source = {name: batch[name] for name in ("input_ids", "attention_mask")}
        return {**source, "decoder_input_ids": shifted}

    def loss(self, outputs: Any, targets: dict[str, "Tensor"], smoothing: float) -> "Tensor":
        """Cross entropy over the tokens of the answers, end of text included."""
        from torch.nn import functional

        logits = outputs["logits"]
        return functional.cross_entropy(
            logits.float().flatten(0, 1),
            targets["labels"].flatten(),
            ignore_index=IGNORED,
            label_smoothing=smoothing,
        )

    def text_of(self, example: Any) -> str:
        """The source."""
        return str(example.text)

    def items(self, examples: Sequence[Pair]) -> list[GenerationItem]:
        """Sources; how they are decoded is the version's own default."""
        return [GenerationItem(example.text, GenerationParameters()) for example in examples]

    def score(
        self, examples: Sequence[Pair], answers: Sequence[Generated | ServingError]
    ) -> Scores:
        """ROUGE F1 against the nearest reference, and the share of exactly right answers."""
        totals = {"rouge1": 0.0, "rouge2": 0.0, "rougeL": 0.0, "exact": 0.0}
        for example, answer in zip(examples, answers, strict=True):
            text = text_of_answer(answer)
            found = words(text)
            references = [words(one) for one in example.references]
            totals["rouge1"] += max(rouge_n(wanted, found, 1) for wanted in references)
            totals["rouge2"] += max(rouge_n(wanted, found, 2) for wanted in references)
            totals["rougeL"] += max(rouge_l(wanted, found) for wanted in references)
            totals["exact"] += text.strip() in {one.strip() for one in example.references}
        return {name: total / max(1, len(examples)) for name, total in totals.items()}

    def same(self, reference: Any, answer: Any) -> bool:
        """The same text."""
        return text_of_answer(reference) == text_of_answer(answer)

    def tokens(self, answers: Sequence[Any], tokenizer: TextTokenizer) -> int | None:
        """As many as the texts have when they are read again, and one for each end."""
        texts = [text_of_answer(one) for one in answers if not isinstance(one, ServingError)]
        return sum(len(one.ids) + 1 for one in tokenizer.encode(texts)) if texts else 0

    def baselines(self, train: Sequence[Pair], test: Sequence[Pair]) -> dict[str, list[Generated]]:
        """The source itself."""
        return {"copy": [answered(example.text) for example in test]}

    def _example(self, row: TableRow) -> Pair:
        data = self.recipe.data
        value = row.get(data.input)
        if isinstance(value, list):
            if not all(isinstance(one, str) for one in value):
                raise row.error(f'column "{data.input}" must be a text or a list of sentences.')
            value = join(value)
        if not isinstance(value, str) or blank(value):
            raise row.error(f'column "{data.input}" must be text that is not empty.')
        answers = row.get(data.target)
        answers = answers if isinstance(answers, list) and answers else [answers]
        if any(not isinstance(one, str) or blank(one) for one in answers):
            raise row.error(f'column "{data.target}" must be text that is not empty.')
        return Pair(row.where, value, answers[0], tuple(answers[1:]))


class AbstractiveSummaryTraining(GenerationTraining):
    """Summaries in words of their own."""

    task = Task.SUMMARIZATION

    def baselines(self, train: Sequence[Pair], test: Sequence[Pair]) -> dict[str, list[Generated]]:
        """The first sentences, as many as lead baselines of the field take, and the first."""
        found = {f"lead-{count}": [] for count in (LEAD, 1)}  # type: dict[str, list[Generated]]
        for example in test:
            spans = sentences(example.text)
            for count in (LEAD, 1):
                parts = [example.text[start:end] for start, end in spans[:count]]
                found[f"lead-{count}"].append(answered(join(parts)))
        return found


class TranslationTraining(GenerationTraining):
    """Translations: what counts is how many characters in a row are right."""

    task = Task.TRANSLATION
    metric = "chrf"

    def score(
        self, examples: Sequence[Pair], answers: Sequence[Generated | ServingError]
    ) -> Scores:
        """chrF2 over all answers, and the share of exactly right ones."""
        texts = [text_of_answer(answer).strip() for answer in answers]
        references = [[one.strip() for one in example.references] for example in examples]
        right = sum(text in wanted for text, wanted in zip(texts, references, strict=True))
        return {"chrf": chrf(references, texts), "exact": right / max(1, len(examples))}


GENERATION: dict[Task, type[TrainTask]] = {
    one.task: one for one in (GenerationTraining, AbstractiveSummaryTraining, TranslationTraining)
}
"""By ``model.kind``."""


def target_ids(ids: Sequence[int], handler: GenerationHandler) -> list[int]:
    """What the decoder learns to write for an answer: what is forced upon it, text, and the end.

    Args:
        ids: of the answer, without special tokens.
        handler: of the model.

    Raises:
        CheckpointError: the checkpoint does not say with which token an answer ends.
    """
    defaults = handler.manifest.generation_defaults
    end, forced = defaults.get("eos_token_id"), defaults.get("forced_bos_token_id")
    if end is None:
        raise CheckpointError(
            "The base's generation_config.json names no eos_token_id: no answer would end; "
            "write it there."
        )
    last = end[0] if isinstance(end, list) else end
    return [*([] if forced is None else [forced]), *ids, last]


def cut(ids: list[int], tokens: int) -> list[int]:
    """At most so many tokens; the last one stays."""
    return ids if len(ids) <= tokens else [*ids[: tokens - 1], ids[-1]]


def answered(text: str) -> Generated:
    """A text as the handler answers it."""
    return Generated(summary_text=text, translation_text=text, generated_text=text)


def text_of_answer(answer: Generated | ServingError) -> str:
    """The text of an answer; empty for an error."""
    return "" if isinstance(answer, ServingError) else answer["generated_text"]
