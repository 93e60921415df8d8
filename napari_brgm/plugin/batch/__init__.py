"""Batch: many scans, or the layers of the viewer, restored by the shell's command in a process of its own."""
