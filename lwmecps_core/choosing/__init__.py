"""Choosing what to learn with: populations of runs that take over from one another, and proposals from past runs."""
