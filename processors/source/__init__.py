"""Finding what has arrived: the tree of series summaries, compared with what the ledger knows.

    walk      the tree on disk        reading   one file            memory   the rows we remember it by
    decide    what to read, what to record (pure)                   discover the work

A file is read only when it looks different from the last time, and an event is appended only when
what we keep of it is different.
"""
