"""Load tests: what real clients do at once, and the limits that must hold (docs/load-tests.md)."""
