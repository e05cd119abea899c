"""One published loss a file; each returns an unweighted 0-d tensor, weights belong to the method."""
