"""The page: what there is to know about studies, rules and projects, for people who have no shell on the gateway.

app         the addresses and what each answers (`fiona-ledger serve`); every look is a transaction that may only read
guard       what every answer says to a browser, and who may ask
rendering   templates, filled with values that can do nothing to a page
kept        what takes a while to count is counted for whoever asks next
days        when a day begins where the hospital is
plots       where the bars of a plot stand
written     the overview as files (`fiona-ledger page`, `health.page`)

what is shown, each gathered by a function of its own
overview    health, what needs a person, requests by age, volume by day, IDs and projects
search      what a form asks for
study       what `explain` says
project     for its researchers: what was delivered, waits, is held or failed, and what has not come
directive   a routing rule or coupling entry: its text over time, and what it led to
"""
