"""The measuring stick: data, tasks, metrics and rivals, the table of all of them, and timings."""
