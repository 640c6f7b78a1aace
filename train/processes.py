"""Several processes that train one model together, as ``torchrun`` starts them; most often one."""

import os
from typing import TypeVar

Value = TypeVar("Value")


def everyone() -> int:
    """How many there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this one speaks for all: it measures, writes and publishes."""
    return int(os.environ.get("RANK", "0")) == 0


def from_first(value: Value) -> Value:
    """The first one's value, in all of them."""
    if everyone() == 1:
        return value
    import torch.distributed as dist

    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def from_all(value: Value) -> list[Value]:
    """Everyone's value, in their order, in all of them."""
    if everyone() == 1:
        return [value]
    import torch.distributed as dist

    values: list[Value | None] = [None] * everyone()
    dist.all_gather_object(values, value)
    return values  # type: ignore[return-value]


def part_ways() -> None:
    """Training is over: the others are not heard any more."""
    if everyone() > 1:
        import torch.distributed as dist

        if dist.is_initialized():
            dist.destroy_process_group()
