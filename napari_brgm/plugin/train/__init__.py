"""Train: a prior of a folder of scans, in a process of its own."""
