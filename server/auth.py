"""Who asks, and how much they may: keys, their models and their quotas."""

import hmac
import logging
import math
import time
from fnmatch import fnmatchcase
from pathlib import Path

from starlette.requests import Request

from contracts.errors import Forbidden, QuotaExceeded, TuneserveError, Unauthorized
from server.keys import Key, digest_of, read_keys

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""How often the file of keys is looked at for a change, by the next request that comes."""

ONLY_KEY = "api-key"
"""The name of the one key that has no file."""

BEHIND_S = 0.005
"""By how much each further request of one key that is in flight stands behind the one before it:
about what a short text costs. So whoever sends one at a time passes whoever sends hundreds."""


class Caller:
    """Whoever sent a request, and what they have in use."""

    def __init__(self, key: Key | None) -> None:
        """Start unused.

        Args:
            key: None: anyone, with no limits.
        """
        self.key = key
        self.in_flight = 0
        self._ready = self._most
        """Requests that may come at once; filled up at the key's rate."""
        self._at = time.monotonic()

    @property
    def name(self) -> str | None:
        """The key's name."""
        return self.key.name if self.key else None

    @property
    def one_of_many(self) -> bool:
        """Whether there may be others, whom this one must leave room for."""
        return self.key is not None and self.key.name != ONLY_KEY

    def turn(self, deadline: float) -> float:
        """When a request that has entered should run; 0: by its deadline."""
        return deadline + (self.in_flight - 1) * BEHIND_S if self.one_of_many else 0.0

    def may_use(self, model: str) -> bool:
        """Whether the key is for that model; named without its version."""
        return self.key is None or any(fnmatchcase(model, one) for one in self.key.models)

    def check_model(self, model: str) -> None:
        """Pass, or refuse.

        Raises:
            Forbidden: the key is for other models.
        """
        if not self.may_use(model):
            raise Forbidden(f"The key {self.name} is not for the model {model}.")

    def enter(self) -> None:
        """Count one more request, which ends with ``leave``.

        Raises:
            QuotaExceeded: too many are in flight, or came within the last second; not counted.
        """
        if self.key is not None:
            self._check_quotas(self.key)
        self.in_flight += 1

    def leave(self) -> None:
        """The request is over."""
        self.in_flight -= 1

    def renew(self, key: Key) -> None:
        """The file has the key anew; what is in use stays in use."""
        self.key = key
        self._ready = min(self._ready, self._most)

    @property
    def _most(self) -> float:
        """Requests of one second, but at least one, may come at once."""
        return max(1.0, self.key.per_s or 1.0) if self.key else 1.0

    def _check_quotas(self, key: Key) -> None:
        if key.concurrency is not None and self.in_flight >= key.concurrency:
            raise QuotaExceeded(
                f"The key {key.name} has {self.in_flight} requests in flight, which is its quota;"
                " wait for an answer."
            )
        if key.per_s is None:
            return
        now = time.monotonic()
        self._ready = min(self._most, self._ready + (now - self._at) * key.per_s)
        self._at = now
        if self._ready < 1:
            seconds = math.ceil((1 - self._ready) / key.per_s)
            raise QuotaExceeded(
                f"The key {key.name} may send {key.per_s:g} requests a second; try again in"
                f" {seconds} s.",
                seconds,
            )
        self._ready -= 1


class KeyRing:
    """All keys that open; without any, all may ask.

    Hugging Face clients send the user's cached token as a Bearer token to any URL: where no key is
    configured it is ignored, and no Authorization header is ever logged.
    """

    def __init__(self, only: str | None = None, file: Path | None = None) -> None:
        """Take the keys.

        Args:
            only: one key for everything.
            file: of named keys; looked at again when it changes.

        Raises:
            TuneserveError: the file is broken.
        """
        self._only = [Key(ONLY_KEY, digest_of(only))] if only else []
        self._file = file
        self._callers: dict[bytes, Caller] = {}
        self.anyone = Caller(None)
        self._seen = _signature(file) if file else None
        self._looked = time.monotonic()
        self._take(read_keys(file) if file else [])

    @property
    def asks(self) -> bool:
        """Whether a key is asked for."""
        return bool(self._only) or self._file is not None

    def identify(self, request: Request) -> Caller:
        """Who sends a request, by ``Authorization: Bearer`` or ``X-API-Key``.

        Raises:
            Unauthorized: no key, or a wrong one.
        """
        if not self.asks:
            return self.anyone
        if self._file is not None and time.monotonic() - self._looked >= LOOK_EVERY_S:
            self._look(self._file)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        bearer = token.strip() if scheme.lower() == "bearer" else ""
        given = request.headers.get("x-api-key") or bearer
        if not given:
            raise Unauthorized(
                "This server asks for an API key: send Authorization: Bearer KEY or X-API-Key: KEY."
            )
        digest = digest_of(given)
        caller = self._callers.get(digest)
        # The look-up's time tells of the digest's hash at most, from which no key can be made.
        if (
            caller is None
            or caller.key is None
            or not hmac.compare_digest(caller.key.digest, digest)
        ):
            raise Unauthorized("The API key is wrong.")
        return caller

    def _look(self, file: Path) -> None:
        """Read the file again if it changed; a broken one leaves the keys as they are."""
        self._looked = time.monotonic()
        signature = _signature(file)
        if signature == self._seen:
            return
        self._seen = signature
        try:
            keys = read_keys(file)
        except TuneserveError as error:
            logger.error("the keys stay as they were", extra={"reason": str(error)})
            return
        self._take(keys)
        logger.info("the keys were read again", extra={"keys": len(keys)})

    def _take(self, keys: list[Key]) -> None:
        known = {caller.name: caller for caller in self._callers.values()}
        self._callers = {}
        for key in [*self._only, *keys]:
            caller = known.get(key.name) or Caller(key)
            caller.renew(key)
            self._callers[key.digest] = caller


def _signature(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
