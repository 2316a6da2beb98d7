"""One function per message of supervisor-control, by subject."""
