"""Alembic's environment: it only ever writes SQL, which `shared.migrations` executes."""

from __future__ import annotations

from alembic import context

context.configure(
    dialect_name="postgresql",
    version_table_schema=context.config.attributes["schema"],
    transactional_ddl=False,  # the runner has opened the transaction
    output_buffer=context.config.output_buffer,
)
context.run_migrations()
