"""Alembic's entry point: run the steps on the connection that `millrace.catalog.migrate` hands over."""

from __future__ import annotations

from alembic import context

from millrace.catalog.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
