"""Whether the server in this container is ready: exit code 0 or 1, for HEALTHCHECK.

It asks /readyz where SERVE_HOST and SERVE_PORT say the server listens. Only the standard library is
used, and http.client instead of urllib.request, which would send the question to a proxy named in
the environment.
"""

import http.client
import os
import sys

TIMEOUT_S = 4.0


def main() -> int:
    """Ask once; say on standard output why it is not ready."""
    host = "::1" if os.environ.get("SERVE_HOST") == "::" else "127.0.0.1"
    port = int(os.environ.get("SERVE_PORT", "8000"))
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        text = answer.read(2000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        print(f"no answer from port {port}: {error}")
        return 1
    finally:
        connection.close()
    if answer.status != 200:
        print(f"{answer.status}: {text}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
