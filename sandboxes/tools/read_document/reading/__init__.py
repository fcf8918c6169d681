"""One module a kind of document; each puts what it finds into a `Found`."""
