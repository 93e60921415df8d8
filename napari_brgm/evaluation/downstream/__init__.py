"""What others would do with a restored slice: classify it, and measure areas in it (BRGM Appendix F)."""
