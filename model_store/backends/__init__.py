"""Runtimes that execute a graph: arrays in, arrays out. A backend knows no text and no task."""
