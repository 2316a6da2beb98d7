"""Supervisor status, restart and other commands."""
