"""Delivery: what the ledger wants REDCap to hold is planned against what REDCap has now, and written."""
