"""The flowgate command: up, sim, agents, events."""
