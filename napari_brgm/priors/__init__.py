"""Priors: generators with the density of their latents."""
