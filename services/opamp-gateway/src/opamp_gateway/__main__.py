"""Run the ingress: `python -m opamp_gateway`."""

import gc

from flowkit.service import run
from opamp_gateway.app import lifespan
from opamp_gateway.settings import OpampGatewaySettings

if __name__ == "__main__":
    # A busy ingress makes tens of thousands of short-lived tuples a second and holds many connections: at Python's
    # default threshold the collector would walk over all of them again and again, and never find a cycle.
    gc.set_threshold(50_000, 20, 20)
    run("opamp-gateway", OpampGatewaySettings(), lifespan)
