import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BackendFailure
from model_store.backends.fake import FakeBackend
from tests.model_store.backends.graphs import only, padded

TAGS = FakeBackend({"logits": ("token", 3), "start_logits": ("token", None), "row": ("row", 2)})


def batch(texts: list[list[int]]) -> dict[str, np.ndarray]:
    tokens = max(map(len, texts))
    ids = np.array([text + [0] * (tokens - len(text)) for text in texts], dtype=np.int64)
    mask = np.array([[1] * len(text) + [0] * (tokens - len(text)) for text in texts])
    return {"input_ids": ids, "attention_mask": mask.astype(np.int64)}


@given(
    st.lists(st.lists(st.integers(0, 30_000), min_size=1, max_size=12), min_size=1, max_size=6),
    st.integers(0, 9),
)
def test_a_row_is_the_same_to_the_bit_in_any_company(texts: list[list[int]], more: int) -> None:
    inputs = batch(texts)
    tokens = inputs["input_ids"].shape[1]
    together = TAGS.run(padded(inputs, tokens + more))
    for index, text in enumerate(texts):
        alone = TAGS.run(only(inputs, index))
        length = len(text)
        for name in ("logits", "start_logits"):
            np.testing.assert_array_equal(together[name][index, :length], alone[name][0, :length])
            assert not together[name][index, length:].any()
        np.testing.assert_array_equal(together["row"][index], alone["row"][0])


def test_outputs_differ_by_name_label_token_and_order() -> None:
    one = TAGS.run(batch([[5, 6, 6]]))
    other = TAGS.run(batch([[6, 5, 6]]))
    assert len(set(one["logits"].ravel())) == 9
    assert not np.isin(one["start_logits"], one["logits"]).any()
    assert (one["row"] != other["row"]).all()


def test_the_poison_token_fails_its_batch_only() -> None:
    backend = FakeBackend({"logits": ("row", 2)}, poison_id=666)
    with pytest.raises(BackendFailure):
        backend.run(batch([[1, 2], [666, 3]]))
    assert backend.run(batch([[1, 2], [665, 3]]))["logits"].shape == (2, 2)
