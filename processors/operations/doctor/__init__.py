"""`check --deep`: whether everything that a run needs is as it must be, one line each, and what to do where it is not.

    machine, database, redcap (files, SQL, HTTP)  ->  facts  ->  *_findings (pure)  ->  lines on a screen, an exit code

Whether runs get through is another question, and `operations.health` answers it. What cannot be asked is a finding of
its own, and keeps nothing else from being asked.
"""
