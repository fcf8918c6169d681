"""Whoever signs tokens elsewhere: what it publishes is bounded, and its keys are public ones."""
