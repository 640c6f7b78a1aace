"""``tuneserve train``: see ``train.command``."""

from train.command import train

__all__ = ["train"]
