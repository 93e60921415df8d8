"""Canvas: what stands over the layers, whichever dock is open: orientation, colour bars, and the original."""
