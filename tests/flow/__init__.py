"""Whole runs over real HTTP and a real PostgreSQL."""
