"""Every method of huggingface_hub's InferenceClient that the server answers, with any release.

Run by itself, as ``client.py URL METHOD...``: prints a JSON object of the answers by method.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

from huggingface_hub import InferenceClient

TEXT = "Angela Merkel visited Paris and New York before she returned to Berlin."
CONTEXT = "Barack Obama was born in Honolulu, Hawaii."
LABELS = ["delivery", "payment", "praise"]


def main(url: str, methods: list[str]) -> None:
    def at(model: str) -> InferenceClient:
        return InferenceClient(model=f"{url}/models/{model}", timeout=60)

    asks: dict[str, Callable[[], Any]] = {
        "text_classification": lambda: at("intent").text_classification(TEXT),
        "token_classification": lambda: at("entities").token_classification(TEXT),
        "question_answering": lambda: at("qa").question_answering(
            question="Where was he born?", context=CONTEXT
        ),
        "summarization": lambda: at("summary").summarization(TEXT),
        "translation": lambda: at("bart").translation(TEXT),
        "text_generation": lambda: at("bart").text_generation(TEXT, max_new_tokens=8),
        "zero_shot_classification": lambda: at("nli").zero_shot_classification(
            TEXT, LABELS, multi_label=True
        ),
        "feature_extraction": lambda: at("embed").feature_extraction(TEXT).tolist(),
        "sentence_similarity": lambda: at("embed").sentence_similarity(
            TEXT, other_sentences=[TEXT, CONTEXT]
        ),
        "fill_mask": lambda: at("fill").fill_mask("the quick [MASK] fox"),
    }
    print(json.dumps({method: plain(asks[method]()) for method in methods}))


def plain(answer: Any) -> Any:
    """Releases differ in their classes: dataclasses, dictionaries, strings."""
    if isinstance(answer, list):
        return [plain(one) for one in answer]
    if isinstance(answer, dict) or hasattr(answer, "__dict__"):
        facts = answer if isinstance(answer, dict) else vars(answer)
        return {name: value for name, value in facts.items() if value is not None}
    return answer


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
