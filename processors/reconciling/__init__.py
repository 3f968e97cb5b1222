"""Comparing REDCap with the ledger: what is missing, changed or somebody else's, and settling that either way."""

from processors.reconciling.comparing import Reconciled, compare, reconcile
from processors.reconciling.difference import Difference
from processors.reconciling.scope import Scope
from processors.reconciling.settling import accept, restorable, restore

__all__ = ["Difference", "Reconciled", "Scope", "accept", "compare", "reconcile", "restorable", "restore"]
