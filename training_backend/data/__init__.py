"""From stored cases to batches, geometry kept; scribble simulation."""
