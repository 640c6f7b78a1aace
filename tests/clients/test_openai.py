"""OpenAI's client, unmodified, waiting and awaited."""

import asyncio

import httpx
import numpy as np
import pytest
from openai import AsyncOpenAI, NotFoundError, OpenAI, UnprocessableEntityError

from tests.embedders import SIZE
from tests.running import RunningServer

TEXTS = ["Where is my parcel?", "Thank you, Zoë! 🎉"]


@pytest.fixture(scope="module")
def client(server: RunningServer) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def plain(server: RunningServer, texts: list[str]) -> list[list[float]]:
    body = {"inputs": texts, "normalize": True}
    answer: list[list[float]] = httpx.post(f"{server.url}/models/embed", json=body).json()
    return answer


def test_models_are_listed_and_told(client: OpenAI):
    listed = {model.id: model for model in client.models.list()}
    assert {"intent", "entities", "qa", "summary", "embed"} <= set(listed)
    one = client.models.retrieve("intent")
    assert (one.id, one.object, one.owned_by) == ("intent", "model", "tuneserve")
    assert one.created > 0
    assert client.models.retrieve("intent@1").id == "intent@1"
    with pytest.raises(NotFoundError, match="no model 'nothing'") as raised:
        client.models.retrieve("nothing")
    assert (raised.value.code, raised.value.type) == ("unknown_model", "not_found_error")


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_embeddings_are_those_of_the_main_interface(
    server: RunningServer, client: OpenAI, encoding: str | None
):
    """Without an encoding the client asks for base64 and reads it."""
    given = {} if encoding is None else {"encoding_format": encoding}
    answer = client.embeddings.create(model="embed", input=TEXTS, **given)  # type: ignore[call-overload]
    assert [one.index for one in answer.data] == [0, 1]
    assert answer.model == "embed"
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 8
    if encoding == "base64":
        assert all(isinstance(one.embedding, str) for one in answer.data)
        return
    vectors = [one.embedding for one in answer.data]
    np.testing.assert_allclose(vectors, plain(server, TEXTS), atol=1e-6)


def test_one_text_cut_dimensions_and_pinned_versions(client: OpenAI):
    one = client.embeddings.create(model="embed@1", input=TEXTS[0], dimensions=8)
    assert len(one.data) == 1
    assert len(one.data[0].embedding) == 8 < SIZE
    assert np.linalg.norm(one.data[0].embedding) == pytest.approx(1, abs=1e-5)


def test_token_ids_are_taken(client: OpenAI):
    one = client.embeddings.create(model="embed", input=[5, 6, 7])
    two = client.embeddings.create(model="embed", input=[[5, 6, 7], [8]])
    assert (len(one.data), len(two.data)) == (1, 2)
    np.testing.assert_allclose(one.data[0].embedding, two.data[0].embedding, atol=1e-6)
    assert one.usage.prompt_tokens == 5
    with pytest.raises(UnprocessableEntityError, match="token id 1000000"):
        client.embeddings.create(model="embed", input=[1_000_000])


def test_the_awaited_client_asks_side_by_side(server: RunningServer):
    async def ask() -> list[list[float]]:
        async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            asked = [client.embeddings.create(model="embed", input=text) for text in TEXTS * 8]
            return [one.data[0].embedding for one in await asyncio.gather(*asked)]

    np.testing.assert_allclose(asyncio.run(ask()), plain(server, TEXTS * 8), atol=1e-5)


def test_errors_are_raised_with_the_sentence_the_parameter_and_the_code(client: OpenAI):
    with pytest.raises(UnprocessableEntityError, match="dimensions is 1000") as raised:
        client.embeddings.create(model="embed", input="a", dimensions=1000)
    assert (raised.value.param, raised.value.code) == ("dimensions", "invalid_request")
    assert raised.value.request_id
    with pytest.raises(UnprocessableEntityError, match="input: the text is empty") as raised:
        client.embeddings.create(model="embed", input="")
    assert raised.value.param == "input"
    with pytest.raises(UnprocessableEntityError, match="it does not embed"):
        client.embeddings.create(model="intent", input="a")
    with pytest.raises(NotFoundError, match="no model 'nothing'"):
        client.embeddings.create(model="nothing", input="a")
