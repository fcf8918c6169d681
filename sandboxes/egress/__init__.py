"""The way out: a proxy per run, behind a socket, that refuses whatever is not on its list."""
