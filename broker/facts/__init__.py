"""Systems of record, read by the broker itself; what they say is a fact, or an error value."""
