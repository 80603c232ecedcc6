"""The anatomy of one T1-weighted head: brain, tissues, and its place in a template."""
