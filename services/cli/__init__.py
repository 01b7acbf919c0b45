"""The command line: a client of the three services."""
