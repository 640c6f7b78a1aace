"""/docs works without a network: whatever the page asks for, this server has."""

import re

import httpx

from tests.running import RunningServer


def test_every_file_of_the_page_comes_from_here(server: RunningServer):
    page = httpx.get(f"{server.url}/docs").text
    asked = re.findall(r'(?:src|href)="([^"]+)"', page) + re.findall(r"url: '([^']+)'", page)
    assert len(asked) == 4
    for path in asked:
        assert path.startswith("/"), path
        answer = httpx.get(f"{server.url}{path}")
        assert answer.status_code == 200, path
        assert "http" not in answer.headers.get("location", "")
    assert "://" not in re.sub(r"<!--.*?-->", "", page)


def test_a_path_that_is_not_there_is_told_in_the_shape_of_all_errors(server: RunningServer):
    nowhere = httpx.get(f"{server.url}/nowhere", headers={"x-request-id": "mine"})
    assert nowhere.status_code == 404
    assert nowhere.json() == {
        "error": "There is no path /nowhere; /docs has those that are.",
        "error_type": "unknown_path",
        "request_id": "mine",
    }
    wrong = httpx.get(f"{server.url}/models/intent")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert wrong.json()["error"] == "/models/intent takes POST, not GET."
