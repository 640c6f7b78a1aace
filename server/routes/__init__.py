"""One module per family of paths."""
