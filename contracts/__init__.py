"""What every floor of the house agrees on: schemas, errors and arrays. Pydantic and numpy only."""
