"""An append-only event ledger in PostgreSQL.

The package knows neither DICOM nor REDCap: events are named facts with JSON data, grouped in
streams, kept in one order, chained by hashes, with the parts that identify a person sealed.
Start reading at `events`, then `store`, then `projector`.
"""
