"""LangChain's embeddings, through OpenAI's shapes and through Hugging Face's.

``HuggingFaceEndpointEmbeddings`` takes no address in this release, only the name of a model on the
hub: whoever has a server of their own gives it clients with the address.

``python langchain_embeddings.py URL MODEL TEXT OTHER...`` prints, as JSON, the embeddings that each
class and each of its methods gives.
"""

import asyncio
import json
import sys
from typing import Any

from huggingface_hub import AsyncInferenceClient, InferenceClient
from langchain_huggingface import HuggingFaceEndpointEmbeddings
from langchain_openai import OpenAIEmbeddings


def main() -> None:
    """Ask in every way and print."""
    url, model, text, *others = sys.argv[1:]
    endpoint = HuggingFaceEndpointEmbeddings(model=model, huggingfacehub_api_token="none")
    endpoint.client = InferenceClient(model=f"{url}/models/{model}")
    endpoint.async_client = AsyncInferenceClient(model=f"{url}/models/{model}")
    ways: dict[str, Any] = {
        "openai": OpenAIEmbeddings(
            base_url=f"{url}/v1", api_key="none", model=model, check_embedding_ctx_length=False
        ),
        "huggingface": endpoint,
    }

    async def awaited(one: Any) -> dict[str, Any]:
        return {"query": await one.aembed_query(text), "texts": await one.aembed_documents(others)}

    answers = {
        name: {
            "waiting": {"query": one.embed_query(text), "texts": one.embed_documents(others)},
            "awaited": asyncio.run(awaited(one)),
        }
        for name, one in ways.items()
    }
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
