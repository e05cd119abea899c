"""A job is a row, a folder and a process; this room keeps the three consistent."""
