"""What `import lwmecps_core` offers: tasks, environments, policies that act, and runs in this process."""
