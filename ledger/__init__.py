"""An append-only event ledger in PostgreSQL.

The package knows neither DICOM nor REDCap: events are named facts with JSON data, grouped in
streams, kept in one order, chained by hashes, with the parts that identify a person sealed.
Start reading at `events`, then `store`, then `projector`.

What is recorded:

    events        an event as a plain value, before it is appended and after
    codec         its data as JSON text and back; upcasters for the shapes of the past
    store         append in one order, optimistic concurrency (expected versions), read back
    projector     projections, their checkpoints, catching up and rebuilding

What identifies a person:

    vault         sealing under a data key for each subject; crypto-shredding: forget, erase
    key_file      the master key's file: reading, writing, mode 0600
    erasures      who was forgotten, kept out of reach of restored backups
    rekeying      a new master key: rotation, all keys wrapped anew

What shows tampering:

    chain         the hash chain, kept heads, and the verifier of exports and proofs that auditors run alone
    verification  the whole ledger checked: chain, streams, keys, projections against a fresh rebuild
    attestation   where the ledger ended, under the master key: what the owner of the database cannot make anew
    guards        what keeps events from being changed: triggers and functions, as migrations make them
    export        events as lines of JSON
    proof         that events are in the ledger: inclusion proofs (Merkle tree), signed checkpoints
    scan          the table from end to end, as it is stored

The database:

    database      connections and transactions; the driver's errors as ours
    embedded      a PostgreSQL that is started with the program, and stays for the next one
    embedded_watch  what stops it when none has come for a while; who uses it (locks)
    programs      where that PostgreSQL's programs are: the distribution's, or those of the extra
    clients       psql, pg_dump and pg_restore on that database
    lease         one holder of a lock at a time; who it is, and since when
    migrations    tables set up and upgraded; whether they fit this program
    views         the audit views, made anew with their grants
    roles         least privileges for a writer and an auditor
    dry_run       a database on which everything is taken back in the end

For all of them:

    batching      portions, and reporting progress
    private_files files that appear whole under their name, for their owner alone
    errors        what can go wrong, by what the caller does next
"""
