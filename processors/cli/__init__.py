"""The command line.

main.py         the programs, their global options, and how a command is found
commands/       one file a command, and the registry of their names
options.py      options that several commands have, and what they accept
bootstrap.py    opening what a command works with: configuration, ledger, REDCap
console.py      what people see: lines, tables, progress, the report of a run
files.py        files that commands write for people
exit_codes.py   what a command ends with, by its error
runs.py         the periodic run and the replay, which several commands start
resident.py     rounds of the periodic run within one process
systemd.py      what a supervisor is told of them
screen.py       tables and bars, as rich draws them
dry_run.py      the same with nothing kept
override.py     what `retract` and `reassign` do
key_changes.py  what `forget` and `rekey` tell alike
dates.py        dates on the command line
collector.py    Python's garbage collector
"""
