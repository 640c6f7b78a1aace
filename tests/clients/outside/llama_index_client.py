"""LlamaIndex's clients for text-embeddings-inference.

``python llama_index_client.py URL TEXT OTHER...`` prints, as JSON, the embedding of the text, those
of the others, and the others in the order that the re-ranker gives them.
"""

import asyncio
import json
import sys

from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference


def main() -> None:
    """Ask in every way and print."""
    url, text, *others = sys.argv[1:]
    embed = TextEmbeddingsInference(model_name="embed", base_url=f"{url}/tei/embed")
    rerank = TextEmbeddingInference(base_url=url, top_n=len(others), model_name="rerank")
    nodes = [NodeWithScore(node=TextNode(text=other), score=0.0) for other in others]
    ranked = rerank.postprocess_nodes(nodes, query_str=text)
    answers = {
        "query": embed.get_query_embedding(text),
        "awaited": asyncio.run(embed.aget_query_embedding(text)),
        "texts": embed.get_text_embedding_batch(others),
        "reranked": [one.node.get_content() for one in ranked],
    }
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
