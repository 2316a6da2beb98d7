"""Fixtures for all tests live in flowkit.testing."""

import signal

pytest_plugins = ["flowkit.testing"]

# A shell that runs the tests in the background has SIGINT ignored, which all that a test starts would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
