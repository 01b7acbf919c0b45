"""Adapters to tools that people already use, each in a file of its own, which names its extra of `pyproject.toml`.

Importing this imports none of them.
"""
