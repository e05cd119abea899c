"""The one loop, and the verbs that every method needs."""
