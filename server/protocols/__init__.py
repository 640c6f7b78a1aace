"""Other people's wire formats as pure functions: bytes and tensors in, items and answers out."""
