"""The command line: one command a file; it may use every room and no room uses it."""
