"""What the API takes and gives: a Pydantic model for each body, and the function that builds it from the contracts."""
