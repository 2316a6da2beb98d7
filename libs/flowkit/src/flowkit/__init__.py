"""What every FlowGate service shares: contracts, bus, stores, run loop. Knows no service."""
