"""Attacks on a clone: as one tenant and as nobody, on another tenant's rows, in every table."""

from schema.isolation.probe.run import RULES, Probed, probe

__all__ = ["RULES", "Probed", "probe"]
