"""What MONAI lacks."""
