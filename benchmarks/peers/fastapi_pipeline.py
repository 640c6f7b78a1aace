"""FastAPI around a pipeline: ``python -m benchmarks.peers.fastapi_pipeline FOLDER PORT``.

The endpoint is a plain ``def``, as FastAPI's pages advise for code that blocks: it runs in the
thread pool. No batching, fp32.
"""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

app = FastAPI()
classifier = pipeline("text-classification", model=sys.argv[1], device="cpu")


class Body(BaseModel):
    """One text."""

    inputs: str


@app.post("/predict")
def predict(body: Body) -> list[dict[str, object]]:
    """The best label."""
    found: list[dict[str, object]] = classifier(body.inputs, truncation=True)
    return found


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
