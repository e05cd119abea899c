"""From a checkpoint to something that runs without us."""
