"""HTTP in, store rows and files out; decides nothing about training."""
