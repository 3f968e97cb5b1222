"""Evidence that others keep or give: checkpoints, once a day, countersigned by witnesses and time-stamped.

    daily.py       what a run does for it, and what became of that
    kept.py        the folder in which all of it is kept
    witnesses.py   how a witness is asked: by a command, or through a folder
    timestamps.py  how an authority's time-stamp is had and verified (RFC 3161)

Nothing that goes wrong with a witness or an authority stops a run: health tells of it.
"""
