"""The review pages: what waits, what exactly it is, and a Person's yes or no, in a browser."""
