"""Which studies go to which project, under which pseudonym: by rules, by the coupling list, by hand."""
