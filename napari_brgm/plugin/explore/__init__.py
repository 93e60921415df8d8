"""Explore: what a prior draws."""
