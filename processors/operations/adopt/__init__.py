"""Moving in beside a REDCap that has lived for years: what is there is recorded before anything is written.

adopt     the work, batch by batch
diff      what of a record in REDCap the ledger does not know yet (pure)
known     what the ledger knows of a study already
progress  how far an interrupted adoption came
guard     no first run on a REDCap that nobody has adopted
"""
