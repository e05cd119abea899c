"""The teachers: one file is one paper, written as stages over the parts below."""
