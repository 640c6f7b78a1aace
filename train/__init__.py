"""From labelled text to a served version: fit, export, compress, verify, publish."""
