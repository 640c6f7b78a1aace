"""Every error that has a name.

::

    TuneserveError                     a sentence for a person
    ├── CheckpointError                a checkpoint, a store or a recipe cannot be used
    └── ServingError                   one request cannot be answered: status, code, sentence
        ├── InvalidRequest       422   the body or a parameter is wrong
        ├── InputTooLong         413   more tokens than the model accepts
        ├── RequestTooLarge      413   more bytes, items or characters than the server accepts
        ├── UnknownModel         404   no such model, version or alias
        ├── Unauthorized         401   no key, or a wrong one
        ├── Forbidden            403   the key is for other models
        ├── Overloaded           429   too much is waiting; carries Retry-After
        ├── QuotaExceeded        429   more than the key may ask for; carries Retry-After
        ├── Unavailable          503   loading, draining or restarting; carries Retry-After
        ├── DeadlineExceeded     504   the caller's time is over
        └── BackendFailure       500   ours; opaque to the caller, in the log in full

A ``ServingError`` is the caller's fault (or the moment's) and travels as a value between processes,
so ``args`` must rebuild it. Anything else that is raised is a bug and becomes a ``BackendFailure``.
"""

from typing import ClassVar


class TuneserveError(Exception):
    """Base of all named errors; ``str(error)`` is one sentence that says what to do."""


class CheckpointError(TuneserveError):
    """A checkpoint, a store entry or a recipe is refused; the sentence names file and way out."""


class ServingError(TuneserveError):
    """One request cannot be answered."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    place: str = ""
    """The input that failed, such as ``inputs[3]``, where a request has several."""

    @property
    def headers(self) -> dict[str, str]:
        """Response headers that belong to the error, such as ``Retry-After``."""
        return {}


class InvalidRequest(ServingError):
    """The body or a parameter is wrong; the sentence names the field."""

    status, code = 422, "invalid_request"


class InputTooLong(ServingError):
    """The text has more tokens than the model accepts, and no way to shorten it was asked for."""

    status, code = 413, "input_too_long"

    def __init__(self, tokens: int, limit: int) -> None:
        super().__init__(tokens, limit)
        self.tokens, self.limit = tokens, limit

    def __str__(self) -> str:
        return (
            f"The text has {self.tokens} tokens and the model accepts {self.limit}; "
            'send parameters.long = "window" or "truncate", or a shorter text.'
        )


class RequestTooLarge(ServingError):
    """The request passes a limit of the server; the sentence names limit and size."""

    status, code = 413, "request_too_large"


class UnknownModel(ServingError):
    """No such model, version or alias; the sentence names what exists."""

    status, code = 404, "unknown_model"


class Unauthorized(ServingError):
    """No API key, or a wrong one."""

    status, code = 401, "unauthorized"

    @property
    def headers(self) -> dict[str, str]:
        """The scheme a client may answer with."""
        return {"WWW-Authenticate": "Bearer"}


class Forbidden(ServingError):
    """A right key, but not for this model."""

    status, code = 403, "forbidden"


class _RetryLater(ServingError):
    """A refusal of the moment: the same request may succeed later."""

    def __init__(self, sentence: str, retry_after_s: int = 1) -> None:
        super().__init__(sentence, retry_after_s)
        self.sentence, self.retry_after_s = sentence, retry_after_s

    def __str__(self) -> str:
        return self.sentence

    @property
    def headers(self) -> dict[str, str]:
        """``Retry-After`` in whole seconds."""
        return {"Retry-After": str(self.retry_after_s)}


class Overloaded(_RetryLater):
    """Too much work is waiting."""

    status, code = 429, "overloaded"


class QuotaExceeded(_RetryLater):
    """The key's own quota is used up, whatever else is waiting."""

    status, code = 429, "quota_exceeded"


class Unavailable(_RetryLater):
    """The model is loading, the engine restarts, or the server drains."""

    status, code = 503, "unavailable"


class DeadlineExceeded(ServingError):
    """The answer did not come within the caller's time."""

    status, code = 504, "deadline_exceeded"


class BackendFailure(ServingError):
    """The backend or a handler failed; the caller learns the request id, the log has the rest."""

    status, code = 500, "backend_failure"


def first_line(error: BaseException) -> str:
    """The first line of what an error says; its class where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
