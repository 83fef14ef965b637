"""Migrations of a project that pushes jobs; only tests that ask for them run them."""
