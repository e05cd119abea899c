"""What may be said between a workspace and a backend, and how bytes carry it: the one meeting point of both sides."""
