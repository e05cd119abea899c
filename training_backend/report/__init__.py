"""What happened, in numbers and pictures a clinician can check."""
