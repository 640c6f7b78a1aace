"""The LitServe front end: the only floor that knows HTTP."""
