"""Pseudonyms for projects that want them: one for each patient and project, for ever.

assign        the work, step by step
sync          what administrators changed in REDCap's list of projects
projects      which projects take part, and why others cannot (pure)
candidates    which studies wait for an ID
adoption      what AutoID holds, taken over: IDs of patients, deliveries, contradictions
entries       the entries of AutoID, and which contradict each other (conflict; pure)
used_ids      which IDs are in use, and whose they are
reservations  IDs that transfer requests of others carry: never drawn
draw          an ID for each patient who has none; drawn again where another site was faster
generators    where new IDs come from: the naming pattern, or a site's own tool
site_tool     running that tool
store         writing drawn IDs to REDCap's AutoID
request       the transfers of studies whose patients have an ID
holds         studies that cannot get an ID, and why
withdrawn     those of them that are of patients who withdrew
forecast      how long the IDs of a project last
"""
