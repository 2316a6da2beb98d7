"""Every SQL statement of supervisor-control, by subject."""
