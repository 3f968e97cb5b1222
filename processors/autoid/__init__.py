"""Pseudonyms for projects that want them: one for each patient and project, for ever.

assign       the work, step by step               holding      studies that cannot get an ID, and why
observe      what administrators changed          drawing      an ID for each patient who has none
projects     which projects take part (pure)      generators   where IDs come from: ours, or a site's tool
candidates   which studies wait for an ID         storing      writing IDs to REDCap's AutoID
keys         who a patient is (pure)              site_tool    running that tool
registry     which IDs are in use                 requesting   the transfers of studies with an ID
outlook      how long they last
"""
