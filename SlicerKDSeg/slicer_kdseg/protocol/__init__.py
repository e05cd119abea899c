"""What may be said between a workspace and a backend, and how bytes carry it; the only meeting point of the two sides."""
