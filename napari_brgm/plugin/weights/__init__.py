"""Weights: which priors there are, and fetching, importing, verifying and removing them."""
