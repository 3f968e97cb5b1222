"""Forgetting people and changing the master key, over real HTTP and a real PostgreSQL."""
