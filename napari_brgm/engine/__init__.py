"""From a slice in native pixels to a Restoration."""
