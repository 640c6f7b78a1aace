"""The yardstick for ``tuneserve train``: a plain script around the Hugging Face ``Trainer``.

``python -m benchmarks.reference NAME --data FOLDER [--seed N] [--epochs N]`` fine-tunes MiniLM on
one of the public data sets as the tutorials do it: all training rows, batches of 32 in random
order padded to their longest row, AdamW at 1e-4 falling to 0 in a straight line, bf16, no dev
set, the last weights. It prints the test score, by the same formulas as ours, and the seconds of
everything. Nothing of the serving path is used, and nothing of ours but the readers of files and
the scores.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import Trainer, TrainingArguments

from train.base_model import find_base
from train.recipe_file import load_recipe
from train.scores import answer_scores, set_scores, span_scores
from train.tasks import training_task

EPOCHS = {"banking77": 5, "wnut17": 4, "bc5cdr": 3, "goemotions": 3, "squadshifts": 2}
RECIPES = Path(__file__).parent.parent / "examples" / "public"
WINDOW, STRIDE, ANSWER_TOKENS = 384, 128, 30


def main() -> None:
    """Train, test, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=EPOCHS)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--seed", default=42, type=int)
    parser.add_argument("--epochs", type=int, help="fewer, to see what one takes")
    arguments = parser.parse_args()
    began, cpu_began = time.perf_counter(), time.process_time()
    overrides = [f"data.dir={json.dumps(str(arguments.data.resolve()))}"]
    job = training_task(load_recipe(RECIPES / f"{arguments.name}.toml", overrides))
    data = job.recipe.data
    assert data.test
    train = job.read(data.train)
    job.learn_labels(train)
    test = job.read(data.test)
    transformers.set_seed(arguments.seed)
    base = find_base("minilm")
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    model = getattr(transformers, job.auto_class).from_pretrained(base, **job.config)
    encode = {"classification": texts, "ner": sentences, "qa": questions}[kind(job)]
    rows = encode(job, train, tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                use_cpu=not torch.cuda.is_available(),
                bf16=True,
                seed=arguments.seed,
                learning_rate=1e-4,
                num_train_epochs=arguments.epochs or EPOCHS[arguments.name],
                per_device_train_batch_size=32,
                save_strategy="no",
                report_to="none",
                dataloader_pin_memory=False,
            ),
            train_dataset=rows,
            data_collator=collator(kind(job), tokenizer),
        )
        trainer.train()
    score = {"classification": test_texts, "ner": test_sentences, "qa": test_questions}[kind(job)]
    scores = score(job, test, tokenizer, model.eval())
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    rounded = {name: round(value, 4) for name, value in scores.items()}
    print(json.dumps({"name": arguments.name, "seed": arguments.seed, **rounded}
                     | {"seconds": round(seconds), "cpu_seconds": round(cpu)}))  # fmt: skip


def kind(job: Any) -> str:
    """Short name of a task."""
    return {"question-answering": "qa", "token-classification": "ner"}.get(
        job.task.value, "classification"
    )


def collator(task: str, tokenizer: Any) -> Any:
    """The one that the tutorials use for a task."""
    if task == "ner":
        return transformers.DataCollatorForTokenClassification(tokenizer)
    return transformers.DataCollatorWithPadding(tokenizer)


def texts(job: Any, examples: Any, tokenizer: Any) -> list[dict[str, Any]]:
    """One row per text."""
    rows = []
    for one in examples:
        row = dict(tokenizer(one.text, truncation=True, max_length=512))
        chosen = [job.labels.index(label) for label in one.labels]
        multi = job.problem_type == "multi_label_classification"
        row["labels"] = np.eye(len(job.labels))[chosen].sum(0).tolist() if multi else chosen[0]
        rows.append(row)
    return rows


def test_texts(job: Any, test: Any, tokenizer: Any, model: Any) -> dict[str, float]:
    """Accuracy and F1."""
    found = []
    for logits in batches(model, tokenizer, [one.text for one in test]):
        if job.problem_type == "multi_label_classification":
            found.append({job.labels[i] for i in (logits > 0).nonzero().flatten().tolist()})
        else:
            found.append({job.labels[int(logits.argmax())]})
    return set_scores([set(one.labels) for one in test], found)


def sentences(job: Any, examples: Any, tokenizer: Any) -> list[dict[str, Any]]:
    """One row per sentence; every sub-token has its word's tag."""
    rows = []
    for one in examples:
        row = dict(
            tokenizer(one.text, truncation=True, max_length=512, return_offsets_mapping=True)
        )
        row["labels"] = [-100] * len(row["input_ids"])
        for index, (a, b) in enumerate(row.pop("offset_mapping")):
            if a == b:
                continue
            row["labels"][index] = 0
            for start, end, name in one.spans:
                if a < end and b > start:
                    prefix = "B" if a <= start else "I"
                    row["labels"][index] = job.labels.index(f"{prefix}-{name}")
        rows.append(row)
    return rows


def test_sentences(job: Any, test: Any, tokenizer: Any, model: Any) -> dict[str, float]:
    """F1 of exact spans; a word has the tag of its first sub-token."""
    found = []
    all_logits = batches(model, tokenizer, [one.text for one in test])
    for one, logits in zip(test, all_logits, strict=True):
        offsets = tokenizer(one.text, truncation=True, max_length=512, return_offsets_mapping=True)
        spans: list[list[Any]] = []
        for (a, b), tag in zip(offsets["offset_mapping"], logits.argmax(-1).tolist(), strict=False):
            if a == b:
                continue
            label, inside = job.labels[tag], a > 0 and not one.text[a - 1].isspace()
            if inside and spans and spans[-1][1] == a:
                spans[-1][1] = b
            elif label != "O" and not inside:
                name = label[2:]
                if label[0] == "I" and spans and spans[-1][2] == name and spans[-1][1] == a - 1:
                    spans[-1][1] = b
                else:
                    spans.append([a, b, name])
        found.append([tuple(span) for span in spans])
    return span_scores([one.spans for one in test], found)


def questions(job: Any, examples: Any, tokenizer: Any) -> list[dict[str, Any]]:
    """Windows of each question, with the answer's first and last token."""
    rows = []
    for one in examples:
        start, answer = one.answers[0]
        for row, offsets in windows(one, tokenizer):
            inside = [
                index
                for index, span in enumerate(offsets)
                if span and span[0] < start + len(answer) and span[1] > start
            ]
            whole = inside and offsets[inside[0]][0] <= start
            whole = whole and offsets[inside[-1]][1] >= start + len(answer)
            row["start_positions"] = inside[0] if whole else 0
            row["end_positions"] = inside[-1] if whole else 0
            rows.append(row)
    return rows


def windows(one: Any, tokenizer: Any) -> Any:
    """The windows of one question: inputs, and the context's offsets (None elsewhere)."""
    rows = tokenizer(
        one.question,
        one.context,
        truncation="only_second",
        max_length=WINDOW,
        stride=STRIDE,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    for index, ids in enumerate(rows["input_ids"]):
        parts = rows.sequence_ids(index)
        spans = zip(rows["offset_mapping"][index], parts, strict=True)
        row = {"input_ids": ids, "attention_mask": rows["attention_mask"][index]}
        row["token_type_ids"] = rows["token_type_ids"][index]
        yield row, [span if part == 1 else None for span, part in spans]


@torch.inference_mode()
def test_questions(job: Any, test: Any, tokenizer: Any, model: Any) -> dict[str, float]:
    """Exact match and F1 of the best span over all windows."""
    pairs = []
    for one in test:
        best, text = -np.inf, ""
        for row, offsets in windows(one, tokenizer):
            outputs = model(**{name: torch.tensor([value]) for name, value in row.items()})
            start, end = outputs.start_logits[0].numpy(), outputs.end_logits[0].numpy()
            scores = start[:, None] + end[None, :]
            scores = np.where(np.triu(np.ones_like(scores), ANSWER_TOKENS) > 0, -np.inf, scores)
            scores = np.where(np.tril(np.ones_like(scores), -1) > 0, -np.inf, scores)
            outside = np.array([span is None for span in offsets])
            scores[outside, :] = scores[:, outside] = -np.inf
            first, last = np.unravel_index(scores.argmax(), scores.shape)
            if scores[first, last] > best:
                best, text = scores[first, last], one.context[offsets[first][0] : offsets[last][1]]
        pairs.append(answer_scores([answer for _, answer in one.answers], text))
    return dict(zip(("exact_match", "f1"), np.mean(pairs, axis=0).tolist(), strict=True))


@torch.inference_mode()
def batches(model: Any, tokenizer: Any, all_texts: list[str]) -> Any:
    """Logits of each text, in order; batches of 32."""
    for start in range(0, len(all_texts), 32):
        inputs = tokenizer(
            all_texts[start : start + 32],
            truncation=True,
            max_length=512,
            padding=True,
            return_tensors="pt",
        )
        yield from model(**inputs).logits.float()


if __name__ == "__main__":
    main()
