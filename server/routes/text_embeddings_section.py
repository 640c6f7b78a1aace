"""What the OpenAPI document says of text-embeddings-inference's paths."""

from typing import Any

from contracts.schemas import LabelScore
from server.openapi import (
    ASKING,
    LOOKING,
    MODEL_NAME,
    REQUEST_ID,
    TIMEOUT,
    Section,
    errors,
    json_answer,
    json_body,
    operation,
    refer,
    schemas_of,
)
from server.protocols.text_embeddings import (
    CompareBody,
    EmbedBody,
    PredictBody,
    Rank,
    RerankBody,
)

EXAMPLES: dict[str, dict[str, Any]] = {
    "PredictBody": {
        "one text": {"inputs": "Where is my parcel?"},
        "a pair": {"inputs": ["The parcel is late.", "Something is not in time."]},
        "a batch": {"inputs": [["Where is my parcel?"], ["Thank you!"]], "raw_scores": True},
    },
    "EmbedBody": {"two texts": {"inputs": ["Where is my parcel?", "Thank you!"]}},
    "RerankBody": {
        "two texts": {
            "query": "How long can I return it?",
            "texts": ["Within 30 days.", "The bridge is open."],
            "return_text": True,
        }
    },
    "CompareBody": {
        "two sentences": {
            "inputs": {
                "source_sentence": "How do I return it?",
                "sentences": ["Can I send this back?", "The bridge is open."],
            }
        }
    },
}
_ANSWERS: dict[str, Any] = {
    "PredictAnswer": list[LabelScore] | list[list[LabelScore]],
    "EmbedAnswer": list[list[float]],
    "RerankAnswer": list[Rank],
    "CompareAnswer": list[float],
}
_BODIES = {one.__name__: one for one in (PredictBody, EmbedBody, RerankBody, CompareBody)}
_SUMMARIES = {
    "/predict": ("Classify", "PredictBody", "PredictAnswer"),
    "/embed": ("Embed", "EmbedBody", "EmbedAnswer"),
    "/rerank": ("Order texts by a query", "RerankBody", "RerankAnswer"),
    "/similarity": ("Compare a text with others", "CompareBody", "CompareAnswer"),
}


def text_embeddings_section() -> Section:
    """The paths of ``text_embeddings_routes``."""
    paths: dict[str, dict[str, Any]] = {}
    for root, parameters in (("", []), ("/tei/{name}", [MODEL_NAME])):
        for path, (summary, body, answer) in _SUMMARIES.items():
            paths[root + path] = {
                "post": operation(
                    summary,
                    {
                        "200": json_answer(refer(answer), summary),
                        "424": json_answer(refer("ServingError"), "The model cannot do this"),
                        **errors(ASKING),
                    },
                    parameters=[*parameters, TIMEOUT, REQUEST_ID],
                    body=json_body(refer(body), EXAMPLES[body]),
                )
            }
        paths[f"{root}/info"] = {
            "get": operation(
                "The model and the limits",
                {
                    "200": json_answer({"type": "object"}, "As text-embeddings-inference tells"),
                    "424": json_answer(refer("ServingError"), "A model of another kind"),
                    **errors(LOOKING),
                },
                parameters=[*parameters, REQUEST_ID],
            )
        }
    return Section(
        tag="text-embeddings-inference",
        about=(
            "The plain paths ask the default model, or the only one that can answer;"
            " http://host/tei/NAME is a whole server for its clients."
        ),
        paths=paths,
        schemas=schemas_of(_BODIES | _ANSWERS),
    )
