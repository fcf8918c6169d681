"""Recorded traffic, put to the real broker call by call."""
