"""Moving in beside a REDCap that has lived for years: what is there is recorded before anything is written.

adopt          the work, batch by batch
diff           what of a record in REDCap the ledger does not know yet (pure)
known          what the ledger knows of a study already
progress       how far an interrupted adoption came
after_restore  what a restored ledger has lost, taken back
placed         what would be placed then
guard          no first run on a REDCap that nobody has adopted
"""
