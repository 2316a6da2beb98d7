"""Run agent-registry: `python -m agent_registry`."""

from agent_registry.app import lifespan
from agent_registry.settings import Settings
from flowkit.service import run

if __name__ == "__main__":
    run("agent-registry", Settings(), lifespan)
