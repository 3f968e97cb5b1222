"""Moving in beside a REDCap that has lived for years: what is there is recorded before anything is written.

adopt        the work, batch by batch             guard    no first run on a REDCap that nobody has adopted
news         what of a record the ledger lacks (pure)      progress   how far an interrupted adoption came
knowledge    what the ledger knows of a study already
"""
