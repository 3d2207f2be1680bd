"""Alembic's environment: it only ever writes SQL, which `gateway.migrations.runner` executes."""

from __future__ import annotations

from alembic import context

from gateway.migrations.runner import SCHEMA

context.configure(
    dialect_name="postgresql",
    version_table_schema=SCHEMA,
    transactional_ddl=False,  # the runner has opened the transaction
    output_buffer=context.config.output_buffer,
)
context.run_migrations()
