"""Deciding beside the scripts that run today, without writing to REDCap, and telling where they decide otherwise.

shadow       the work, step by step
comparison   what is asked for here and there, of one study (pure)
differences  what differed when it last looked
"""
