import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import CheckpointError
from handlers.tokenization import Row
from train.batches import LengthBatches
from train.rows import IGNORED, LabelledRow, collate, padded


@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=200),
    max_rows=st.integers(1, 20),
    max_tokens=st.integers(16, 2000),
    epoch=st.integers(0, 3),
)
def test_every_row_is_in_one_batch_within_both_limits(
    lengths: list[int], max_rows: int, max_tokens: int, epoch: int
) -> None:
    batches = LengthBatches(lengths, max_rows=max_rows, max_tokens=max_tokens, seed=1)
    batches.begin(epoch)
    found = list(batches)
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    assert len(found) == len(batches)
    for batch in found:
        assert len(batch) <= max_rows
        longest = padded(max(lengths[index] for index in batch))
        assert len(batch) == 1 or longest * len(batch) <= max_tokens


def test_a_mix_repeats_rows_and_leaves_others_out() -> None:
    batches = LengthBatches([5, 50, 500, 5], max_rows=4, max_tokens=999, seed=1)
    batches.plan(rows=[0, 0, 2], max_rows=1)
    assert sorted(row for batch in batches for row in batch) == [0, 1, 2, 3]  # goes on as planned
    batches.begin(1)
    assert sorted(row for batch in batches for row in batch) == [0, 0, 2]
    assert len(batches) == len(list(batches)) == 3
    for wrong in ({"rows": [4]}, {"rows": []}, {"max_rows": 0}):
        with pytest.raises(CheckpointError):
            batches.plan(**wrong)  # type: ignore[arg-type]


def test_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        batches = LengthBatches([5] * 50, max_rows=4, max_tokens=999, seed=seed)
        batches.begin(epoch)
        return list(batches)

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_padding_is_masked_and_teaches_nothing() -> None:
    rows = [
        LabelledRow(Row([5, 6, 7], [0, 0, 1]), {"labels": [1, IGNORED, 2]}),
        LabelledRow(Row([8], [0]), {"labels": [3]}),
    ]
    batch = collate(rows, pad_id=9, max_tokens=512, per_token=True, token_types=True)
    assert batch["input_ids"].shape == (2, 16)
    assert batch["input_ids"][1].tolist() == [8] + [9] * 15
    assert batch["attention_mask"].sum(1).tolist() == [3, 1]
    assert batch["token_type_ids"][0, :4].tolist() == [0, 0, 1, 0]
    assert batch["labels"][1].tolist() == [3] + [IGNORED] * 15
    single = [LabelledRow(Row([5], [0]), {"labels": 2})]
    batch = collate(single, pad_id=0, max_tokens=8, per_token=False, token_types=False)
    assert batch["labels"].tolist() == [2]
    assert batch["input_ids"].shape == (1, 8)
    assert "token_type_ids" not in batch
