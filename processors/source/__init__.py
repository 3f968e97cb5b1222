"""Finding what has arrived: the tree of series summaries on disk, compared with what the ledger knows.

discover     the work of a discovery, step by step
tree         the raw folder as it lies on disk: study folders, and the files in each
file_names   names of files and folders as text that can be shown and stored
batches      how much is listed, and read, before it is recorded
read         reading one file: what came of it, never an exception
summary      what a summary says (pure): DICOM keywords, and why a file is rejected
changes      what to read, and what to record about it (pure)
record       appending what was found, with what the scan cache remembers of it
scan_cache   the files and folders as earlier runs have seen them: mtime and size

A file is read only when it looks different from the last time, and an event is appended only when
what we keep of it is different.
"""
