"""Run supervisor-control: `python -m supervisor_control`."""

from flowkit.service import run
from supervisor_control.app import lifespan
from supervisor_control.settings import Settings

if __name__ == "__main__":
    run("supervisor-control", Settings(), lifespan)
