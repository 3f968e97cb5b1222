"""Naming patterns: finite sets of names, counted exactly, and drawn from without replacement.

text ──notation──▶ tree ──program──▶ steps ──states, graph──▶ counted nodes ──ranks──▶ names ──sampler──▶ draws

pattern      a pattern: which names it allows, how many, and the name of each rank
notation     text in, tree out, or a refusal that points at the place
reader       a place in the text of a pattern, and what is read from there
characters   the parts that stand for one character: literals, escapes, sets
tree         a pattern as it was written: nothing is unrolled yet
program      the tree unrolled into steps that only lead forward
alphabet     the characters of a pattern, in groups that it never tells apart
states       all ways of reading a name at once: the states of a deterministic automaton
graph        the states with the exact number of names behind each of them
ranks        from a number to the name of that rank, and back
sampler      drawing names that are not used, each once
chance       chance that can be repeated, for tests and demonstrations
errors       what can go wrong, by what the caller does next
"""

from processors.naming.chance import seeded
from processors.naming.errors import Exhausted, PatternError
from processors.naming.pattern import Pattern, parse
from processors.naming.sampler import Sampler, draw

__all__ = ["Exhausted", "Pattern", "PatternError", "Sampler", "draw", "parse", "seeded"]
