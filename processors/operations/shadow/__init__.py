"""Deciding beside the scripts that run today, without writing to REDCap, and telling where they decide otherwise.

shadow   the work, step by step
compare  what is asked for here and there, of one study (pure)
lasting  what differed when it last looked, and since when
"""
