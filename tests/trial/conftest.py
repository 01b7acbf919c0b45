"""What lies under `added/` is for another house."""

collect_ignore = ["added"]
