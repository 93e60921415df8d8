"""Batches: many scans, each restored by the command that a person would type, in processes that may be killed."""
