"""Reports to be handed on: of a project, of a participant (GDPR, article 15), for the register (article 30).

report       what a report is: words and tables, whatever it is printed as
project      what a project asked for, got, waits for and does not get
participant  which data of one person went where, when, and why
register     what the record of processing activities takes from here

None of them names a person or shows a pseudonym, and all but the participant's are read from the schema audit alone.
"""
