"""Rivals that are trained for the one task: networks of MONAI in the roles of those that BRGM compares with."""
