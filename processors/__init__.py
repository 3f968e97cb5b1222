"""The gateway's processors: from series summaries on disk to studies and transfers in REDCap.

One summary's way: `discovery` reads it, `summary` understands it, the ledger keeps it,
`projections` lay it out, `decisions` (with `routing` and `coupling`) say where it goes,
`delivery` plans the rows, `redcap` sends them.
"""
