"""What a run did: ``report.html`` and ``report.md`` for people, ``report.json`` for programs."""

from train.report.content import Report, packages

__all__ = ["Report", "packages"]
