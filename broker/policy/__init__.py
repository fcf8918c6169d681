"""Policy: read, checked, bundled, and asked of a real OPA."""
