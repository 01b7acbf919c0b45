"""Tasks: families that draw them, files that describe them, loads that were recorded."""
