"""Runs the api-gateway."""

from api_gateway.app import SERVICE, lifespan
from api_gateway.settings import ApiGatewaySettings
from flowkit.service import run

if __name__ == "__main__":
    run(SERVICE, ApiGatewaySettings(), lifespan)
