"""Forgetting whom the ledger knows, and changing the master key that its keys are wrapped by.

whose      what is sealed for a patient, a study, or a project's IDs: gathering, no deciding
elsewhere  what forgetting does not reach and a person has to see to: REDCap's rows, folders on disk
forget     destroying the keys, with the event that says so
rekey      a new master key
alone      keeping all runs away meanwhile
"""
