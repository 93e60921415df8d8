"""Remote: a run on a worker of a dask scheduler, its pixels sent by value."""
