"""Weights: which priors there are, safe reading and writing of their files, fetching and importing those of others."""
