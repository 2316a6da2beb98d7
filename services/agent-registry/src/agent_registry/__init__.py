"""Who is in the fleet and how it does."""
