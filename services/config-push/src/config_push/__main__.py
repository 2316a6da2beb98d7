"""Run config-push: `python -m config_push`."""

from config_push.app import lifespan
from config_push.settings import Settings
from flowkit.service import run

if __name__ == "__main__":
    run("config-push", Settings(), lifespan)
