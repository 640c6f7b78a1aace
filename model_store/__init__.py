"""Checkpoints on disk, and how one becomes something that runs."""
