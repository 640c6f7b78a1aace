"""The OpenAPI document: whole, in sections, and with nothing that leads nowhere."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from server.openapi import Section, describe, errors, operation
from server.routes.health import health_section
from server.routes.inference_section import inference_section
from server.routes.models import model_section

SECTIONS = (inference_section(), model_section(), health_section())


def document(*, keys: bool = False) -> dict[str, Any]:
    app = FastAPI(title="tuneserve", version="1")
    describe(app, SECTIONS, keys=keys)
    return app.openapi()


def operations(told: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in told["paths"].items():
        for method, one in methods.items():
            yield path, method, one


def test_every_reference_leads_to_a_component():
    told = document()
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(told)))
    assert references
    assert references <= set(told["components"]["schemas"])


def test_every_operation_has_a_tag_a_summary_and_a_name_of_its_own():
    told = document()
    tags = {tag["name"] for tag in told["tags"]}
    names = [one["operationId"] for _, _, one in operations(told)]
    assert len(names) == len(set(names))
    for path, _, one in operations(told):
        assert set(one["tags"]) <= tags, path
        assert one["summary"], path


def test_every_variable_of_a_path_is_a_parameter():
    for path, _, one in operations(document()):
        told = {each["name"] for each in one.get("parameters", ()) if each["in"] == "path"}
        assert told == set(re.findall(r"{(\w+)}", path)), path


def test_every_error_has_its_schema_and_a_sentence():
    for path, _, one in operations(document()):
        for status, response in one["responses"].items():
            assert response["description"], (path, status)
            if status >= "400":
                assert response["content"]["application/json"]["schema"], (path, status)


def test_keys_are_told_where_they_are_asked_for_and_the_probes_stay_open():
    told = document(keys=True)
    assert set(told["components"]["securitySchemes"]) == {"bearer", "header"}
    assert told["paths"]["/livez"]["get"]["security"] == []
    assert "security" not in told["paths"]["/models/{name}"]["post"]
    assert "security" not in document()


def test_a_family_may_have_errors_of_its_own_shape():
    shape = {"OwnError": {"type": "object"}}
    paths = {"/own": {"post": operation("Ask", errors((400,), "OwnError"))}}
    app = FastAPI(title="t", version="1")
    describe(app, [Section("own", "Ours.", paths, shape)], keys=False)
    schema = app.openapi()["paths"]["/own"]["post"]["responses"]["400"]["content"]
    assert schema["application/json"]["schema"]["$ref"].endswith("/OwnError")


def test_an_unknown_status_is_no_section():
    with pytest.raises(KeyError):
        errors((418,))
