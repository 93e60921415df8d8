"""The window of `evaluate choose`: blinded candidates side by side, and a key for each."""
