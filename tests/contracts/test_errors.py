"""Every error crosses processes, has its own status, and says what to do."""

import pickle

import pytest

from contracts import errors
from contracts.errors import CheckpointError, ServingError, TuneserveError

SAMPLES: list[TuneserveError] = [
    CheckpointError("model.bin is a pickle; run `tuneserve convert model`."),
    errors.InvalidRequest("inputs: the text is empty."),
    errors.InputTooLong(600, 512),
    errors.RequestTooLarge("300 inputs; at most 256."),
    errors.UnknownModel("There is no model 'x'."),
    errors.Unauthorized("The API key is wrong."),
    errors.Forbidden("The key shop is not for the model qa."),
    errors.QuotaExceeded("The key shop may send 5 requests a second.", 2),
    errors.Overloaded("512 requests wait already.", 3),
    errors.Unavailable("The engine is starting."),
    errors.DeadlineExceeded("Too late."),
    errors.BackendFailure(),
]


def subclasses(root: type) -> set[type]:
    return {root}.union(*(subclasses(child) for child in root.__subclasses__()))


def test_every_error_of_the_tree_has_a_sample():
    tree = {kind for kind in subclasses(TuneserveError) if kind.__module__ == errors.__name__}
    public = {kind for kind in tree if not kind.__name__.startswith("_")}
    assert public - {TuneserveError, ServingError} <= {type(sample) for sample in SAMPLES}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_an_error_survives_the_way_between_processes(sample: TuneserveError):
    copy = pickle.loads(pickle.dumps(sample))
    assert type(copy) is type(sample)
    assert str(copy) == str(sample)
    assert copy.args == sample.args
    if isinstance(sample, ServingError):
        assert copy.headers == sample.headers


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = errors.__doc__ or ""
    for sample in SAMPLES:
        assert type(sample).__name__ in drawn
        if isinstance(sample, ServingError):
            assert str(sample.status) in drawn


@pytest.mark.parametrize("kind", [errors.Overloaded, errors.QuotaExceeded, errors.Unavailable])
def test_a_refusal_of_the_moment_says_when_to_come_back(kind: type[ServingError]):
    assert kind("Later.", 7).headers == {"Retry-After": "7"}
