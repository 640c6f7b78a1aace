"""OpenAI's client, unmodified."""

import pytest
from openai import NotFoundError, OpenAI

from tests.running import RunningServer


@pytest.fixture(scope="module")
def client(server: RunningServer) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def test_models_are_listed_and_told(client: OpenAI):
    listed = {model.id: model for model in client.models.list()}
    assert {"intent", "entities", "qa", "summary"} <= set(listed)
    one = client.models.retrieve("intent")
    assert (one.id, one.object, one.owned_by) == ("intent", "model", "tuneserve")
    assert one.created > 0
    assert client.models.retrieve("intent@1").id == "intent@1"
    with pytest.raises(NotFoundError, match="no model 'nothing'") as raised:
        client.models.retrieve("nothing")
    assert (raised.value.code, raised.value.type) == ("unknown_model", "not_found_error")
