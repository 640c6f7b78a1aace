"""LitServe as its pages show it: ``python -m benchmarks.peers.litserve_docs FOLDER PORT``.

Batches of up to 32 texts, gathered for 5 ms; a classifier in fp32; one worker; its default queue.
"""

import sys
from typing import Any

import litserve
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


class TextClassifier(litserve.LitAPI):  # type: ignore[misc]
    """Decode, batch, predict, encode."""

    def setup(self, device: str) -> None:
        """Load the model in the worker."""
        self.tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
        self.model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1]).to(device)
        self.model.eval()

    def decode_request(self, request: dict[str, Any]) -> str:
        """The text of a request."""
        return str(request["inputs"])

    def predict(self, texts: list[str]) -> list[Any]:
        """Scores of a batch, padded to its longest text."""
        inputs = self.tokenizer(texts, return_tensors="pt", padding=True, truncation=True)
        with torch.no_grad():
            scores = torch.softmax(self.model(**inputs).logits, dim=-1)
        return list(scores)

    def encode_response(self, output: torch.Tensor) -> dict[str, Any]:
        """The best label of one text."""
        best = int(output.argmax())
        return {"label": self.model.config.id2label[best], "score": float(output[best])}


if __name__ == "__main__":
    api = TextClassifier(max_batch_size=32, batch_timeout=0.005)
    server = litserve.LitServer(api, accelerator="cpu")
    server.run(
        host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="warning"
    )
