"""A hub of one model on 127.0.0.1, as far as ``snapshot_download`` asks it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

SHA = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def fake_hub(model: str, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder as a model's main revision.

    Yields:
        The endpoint, and the list of files that were fetched so far.
    """
    fetched: list[str] = []
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            path = self.path.partition("?")[0]
            if path == f"/api/models/{model}/revision/main":
                self._send(json.dumps({"id": model, "sha": SHA}).encode(), body)
            elif path.startswith(f"/api/models/{model}/tree/{SHA}"):
                tree = [
                    {"type": "file", "path": name, "size": len(data), "oid": _etag(data)}
                    for name, data in files.items()
                ]
                self._send(json.dumps(tree).encode(), body)
            elif path.startswith(f"/api/models/{model}/revision/"):
                self._refuse("RevisionNotFound")
            elif (name := path.removeprefix(f"/{model}/resolve/{SHA}/")) in files:
                if body:
                    fetched.append(name)
                self._send(files[name], body)
            else:
                self._refuse("RepoNotFound")

        def _send(self, data: bytes, body: bool) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", f'"{_etag(data)}"')
            self.send_header("X-Repo-Commit", SHA)
            self.end_headers()
            if body:
                self.wfile.write(data)

        def _refuse(self, code: str) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", fetched
        finally:
            server.shutdown()
            thread.join()


def _etag(data: bytes) -> str:
    return sha1(data).hexdigest()
