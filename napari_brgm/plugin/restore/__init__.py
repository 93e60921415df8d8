"""Restore: in-paint, super-resolve and clean; from choices through a run to its layers."""
