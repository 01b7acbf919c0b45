"""The placement benchmark: every method on held-out tasks of every family (`make benchmark`)."""
