"""Panels for 3D Slicer: they show a session and forward clicks; nothing in here decides anything about training."""
