"""Nobody costs the others more than their share: turns, rates, and what is said again and again."""
