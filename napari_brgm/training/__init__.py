"""Training of the priors that ship."""
