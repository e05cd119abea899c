"""A session without a view: the demo and batch work."""
