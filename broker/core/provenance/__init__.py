"""Where each value of a call is known to come from: exact to trust, loose to distrust."""
