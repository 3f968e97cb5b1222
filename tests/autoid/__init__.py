"""Pseudonyms: one for each patient and project, for ever, over real HTTP and a real PostgreSQL."""
