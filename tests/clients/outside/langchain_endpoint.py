"""LangChain's ``HuggingFaceEndpoint``, unmodified, in an environment of its own.

``python langchain_endpoint.py URL PROMPT`` prints, as JSON, the prompt's answer as each of its
methods gives it. It wants an older huggingface-hub than the server does, so it cannot share its
environment.
"""

import asyncio
import json
import sys

from langchain_huggingface import HuggingFaceEndpoint


def main() -> None:
    """Ask in every way and print."""
    url, prompt = sys.argv[1:]
    whole = HuggingFaceEndpoint(endpoint_url=url, max_new_tokens=24)
    pieces = HuggingFaceEndpoint(endpoint_url=url, max_new_tokens=24, streaming=True)

    async def later() -> tuple[str, list[str]]:
        streamed = [piece async for piece in whole.astream(prompt)]
        return await whole.ainvoke(prompt), streamed

    awaited, awaited_pieces = asyncio.run(later())
    answers = {
        "invoke": whole.invoke(prompt),
        "streaming": pieces.invoke(prompt),
        "batch": whole.batch([prompt, prompt]),
        "stream": list(whole.stream(prompt)),
        "ainvoke": awaited,
        "astream": awaited_pieces,
    }
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
