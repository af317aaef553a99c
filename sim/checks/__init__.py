"""What is verified after every block."""

from sim.checks.conformance import Agreement, conformance
from sim.checks.conservation import Conservation, conservation

__all__ = ["Agreement", "Conservation", "conformance", "conservation"]
