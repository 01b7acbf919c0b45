"""Labels of runs that mean something to the services."""

PROFILE = "lwmecps/profile"
"""Whoever works on the run writes down where its time goes, whatever the value."""
