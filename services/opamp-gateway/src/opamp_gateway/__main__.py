"""python -m opamp_gateway: run the ingress until SIGTERM or SIGINT."""

from flowkit import service
from opamp_gateway.app import lifespan
from opamp_gateway.settings import OpampGatewaySettings

if __name__ == "__main__":
    service.run("opamp-gateway", OpampGatewaySettings(), lifespan)
