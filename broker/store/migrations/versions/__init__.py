"""One file for each change of the tables, first to last."""
