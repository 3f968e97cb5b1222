"""Forgetting data subjects (erasure by crypto-shredding), and changing the master key that wraps their keys.

data_subjects    what is sealed for a patient, a study, or a project's IDs: gathering, no deciding
external_copies  what forgetting does not reach and a person has to see to: REDCap's rows, folders on disk
forget           destroying the keys, with the event that says so
again            whom a restored ledger knows again
rekey            a new master key
exclusive_lock   keeping all runs away meanwhile
"""
