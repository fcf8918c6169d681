"""Tables of cases beside rule families: read, run on real OPA, and judged each family alone."""
