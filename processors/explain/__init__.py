"""Why studies go where they go, and where they would go under other rules: answered from the ledger alone.

find a study
search        which study is meant: by its UID or accession number
find          studies by day, project, state, and how far each has come (`fiona-ledger find`)

tell of one study (`fiona-ledger explain`)
explanation   gathers what the ledger holds of it, and has it judged as a run would
timeline      its events, oldest first
sentences     what each event says in words
conditions    which condition of which rule or coupling entry held, and which did not
near_miss     what would match but for a detail
verdict       what is requested and why; where nothing is, the reason
past          the same as of a moment gone by, by its events and the rules and entries in force then

tell of what is not there
expected      coupling entries that have met no study for days, and what nearly matches them

try rules (`fiona-ledger what-if`, `fiona-ledger rules check`)
policy        the rules and coupling entries in force
rules_file    rules in a file
recorded      all recorded studies, to try rules on
what_if       what other rules would change
rules_check   what is wrong with a table of rules
redos         patterns that run out of time (ReDoS)
"""
