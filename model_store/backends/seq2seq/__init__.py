"""Backends that generate: encoder once, decoder step by step with its key-value cache."""
