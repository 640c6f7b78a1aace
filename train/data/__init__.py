"""Labelled text from files: a reader per way of writing it down, errors with file and line."""
