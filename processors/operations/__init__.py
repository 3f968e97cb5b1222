"""What operators and auditors do beside the periodic run, and how they see that it is well.

status   how the gateway is doing: last run, what waits, what needs attention
replay   deciding again with today's rules, and writing everything again
rebuild  the tables made anew from the events
audit    the auditors' views, listed and read
dry_run  what a dry run would have changed
adopt/   moving in beside a REDCap that has lived for years
shadow/  deciding beside today's scripts, and comparing
forget/  destroying a data subject's keys; a new master key
"""
