"""The ``tuneserve`` command: the only place that knows both the server and the training."""
