"""Alembic's migrations; `broker.store.schema` runs them."""
