"""Question answering: windows, top k, no answer, strides, word alignment, in three tokenizers."""

from pathlib import Path
from typing import Any

from contracts.tasks import Task
from tests.models import tiny_checkpoint

MODELS: dict[str, dict[str, Any]] = {
    "qa-bert": {"architecture": "bert", "seed": 21, "scale": 50.0},
    "qa-roberta": {"architecture": "roberta", "seed": 22, "scale": 50.0},
    "qa-albert": {"architecture": "albert", "seed": 23, "scale": 50.0},
}
SHORT = "Angela Merkel visited Paris and New York before she returned to Berlin."
LONG = (
    "The quick brown fox jumps over the lazy dog while the parcel waits in Hamburg. My order "
    "number 48213 has not arrived; please refund the money. The contract ends on the 31st of "
    "December 2024 unless either party renews it thirty days before. Microsoft and Google "
    "announced that they would be working together. Barack Obama was born in Honolulu, Hawaii, "
    "and worked for the University of Chicago in Illinois. Zoë and José met François at the café."
)
CONTEXTS = {
    "short": SHORT,
    "long": LONG,
    "longest": f"{LONG} {SHORT} {LONG}",
    "one word": "Honolulu",
    "emoji": "I love 😀😀 Paris 🎉! The family 👨\u200d👩\u200d👧 lives in Hamburg 🇩🇪, not Rome.",
    "chinese": "上海是一个很大的城市。今天天气很好，我们去公园吧。我爱北京天安门。",
    "mixed": "Angela 住在 Berlin 和 上海，价格是3.50元。The order has arrived.",
    "crlf": "First line of Berlin\r\nsecond line: the money\r\n\r\n\tParis and New\u00a0York\r\n",
    "spaces": "   three leading spaces   and Hamburg, then    four before the café   ",
    "combining": "Zoe\u0308 and Jose\u0301 met Franc\u0327ois in Sa\u0303o Paulo; Mu\u0308ller.",
    "repeated": "Paris, PARIS, paris! The order of Paris. Berlin and berlin in BERLIN.",
}
QUESTIONS = ("Where was Barack Obama born?", "When does the contract end?", "谁爱北京？")
PARAMETERS: tuple[dict[str, Any], ...] = (
    {},
    {"top_k": 3},
    {"top_k": 10},
    {"max_answer_len": 1, "top_k": 3},
    {"max_answer_len": 40, "top_k": 3},
    {"handle_impossible_answer": True},
    {"handle_impossible_answer": True, "top_k": 3},
    {"align_to_words": False},
    {"align_to_words": False, "top_k": 10},
    {"doc_stride": 10, "top_k": 3},
    {"doc_stride": 0, "top_k": 3},
    {"max_seq_len": 64, "top_k": 3},
    {"max_seq_len": 64, "doc_stride": 40, "handle_impossible_answer": True, "top_k": 10},
)
EVERY_PARAMETER = ("long", "crlf", "mixed", "repeated")
FEW_PARAMETERS = ({}, {"top_k": 10}, {"align_to_words": False})


def build(folder: Path, name: str) -> Path:
    """The checkpoint, made where it is missing."""
    path = folder / name
    if not (path / "model.safetensors").exists():
        tiny_checkpoint(path, task=Task.QUESTION_ANSWERING, **MODELS[name])
    return path


def record(folder: Path) -> dict[str, Any]:
    """Answers by model, question, context and parameters: ``[text, score, start, end]`` each."""
    from transformers import pipeline

    cases: list[dict[str, Any]] = []
    for name in MODELS:
        answer = pipeline("question-answering", model=str(build(folder, name)), device="cpu")
        runs = [
            (QUESTIONS[0], context, one)
            for context in CONTEXTS
            for one in (PARAMETERS if context in EVERY_PARAMETER else FEW_PARAMETERS)
        ]
        runs += [(question, context, {}) for question in QUESTIONS[1:] for context in CONTEXTS]
        for question, context, parameters in runs:
            found = answer(question=question, context=CONTEXTS[context], **parameters)
            cases.append(
                {
                    "text": context,
                    "question": question,
                    "model": name,
                    "parameters": parameters,
                    "answers": [
                        [one["answer"], round(one["score"], 9), one["start"], one["end"]]
                        for one in (found if isinstance(found, list) else [found])
                    ],
                }
            )
    return {"cases": cases}
