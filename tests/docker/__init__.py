"""A package, so that what its fixtures run ends with its last test."""
