"""Servers that others would write for the same model, as the pages of their frameworks show it."""
