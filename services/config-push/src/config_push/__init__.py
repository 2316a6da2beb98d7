"""Configurations, their versions and their delivery to agents."""
