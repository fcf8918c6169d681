"""Where a call happens: knows nothing of the broker, and meets it in `sandboxes/v1` alone."""
