"""The workspace as a web page: the desktop's panels over the same session, on Slicer's own parts and trame-slicer."""
