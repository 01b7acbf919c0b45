"""Adapters to tools that people already use, each in a file of its own, behind the extra of `pyproject.toml` that it names.

Importing this imports none of them.
"""
