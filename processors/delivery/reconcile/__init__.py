"""Comparing REDCap with the ledger: what is missing, changed or somebody else's, and settling that either way."""
