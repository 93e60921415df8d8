"""The grid: every method on every task and held-out image, rows kept, tables and a page made of them."""
