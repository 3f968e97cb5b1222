"""Naming patterns: finite sets of names, counted exactly, and drawn from without replacement.

text ──notation──▶ tree ──program──▶ steps ──states, graph──▶ counted nodes ──ranks──▶ names ──urn──▶ draws
"""

from processors.naming.chance import seeded
from processors.naming.errors import Exhausted, PatternError
from processors.naming.pattern import Pattern, parse
from processors.naming.urn import Urn, draw

__all__ = ["Exhausted", "Pattern", "PatternError", "Urn", "draw", "parse", "seeded"]
