"""Who may ask: one optional API key."""

import hmac

from starlette.requests import Request

from contracts.errors import Unauthorized


class ApiKey:
    """Checks ``Authorization: Bearer`` or ``X-API-Key``; without a key of its own all may ask.

    Hugging Face clients send the user's cached token as a Bearer token to any URL: where no key is
    configured it is ignored, and no Authorization header is ever logged.
    """

    def __init__(self, key: str | None) -> None:
        self._key = key.encode() if key else None

    def check(self, request: Request) -> None:
        """Pass, or refuse.

        Raises:
            Unauthorized: no key, or a wrong one.
        """
        if self._key is None:
            return
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        bearer = token.strip() if scheme.lower() == "bearer" else ""
        given = request.headers.get("x-api-key") or bearer
        if not given:
            raise Unauthorized(
                "This server asks for an API key: send Authorization: Bearer KEY or X-API-Key: KEY."
            )
        if not hmac.compare_digest(given.encode(), self._key):
            raise Unauthorized("The API key is wrong.")
