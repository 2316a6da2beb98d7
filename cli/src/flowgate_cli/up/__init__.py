"""`flowgate up`: FlowGate whole on one machine."""
