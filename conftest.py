"""Fixtures for all tests live in flowkit.testing."""

pytest_plugins = ["flowkit.testing"]
