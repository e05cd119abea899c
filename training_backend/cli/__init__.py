"""The command line: one command a file; it may use every room and no room uses it."""

import os

from training_backend.jobs.process import PATIENT_THREADS

os.environ.update(PATIENT_THREADS | os.environ)  # before torch is loaded
