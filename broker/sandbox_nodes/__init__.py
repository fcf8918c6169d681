"""Sandbox nodes, from the broker's side: all that it knows of containers is in `sandboxes/v1`."""
