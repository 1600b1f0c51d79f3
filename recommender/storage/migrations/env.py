"""Alembic's entry point: one transaction, one migrator at a time."""

from alembic import context
from sqlalchemy import create_engine, pool, text

url = context.config.get_main_option("sqlalchemy.url")
engine = create_engine(str(url), poolclass=pool.NullPool)
with engine.begin() as connection:
    connection.execute(text("select pg_advisory_xact_lock(hashtext('reco.migrate'))"))
    connection.execute(text("create schema if not exists reco"))
    context.configure(connection=connection, version_table_schema="reco")
    context.run_migrations()
    connection.execute(text("grant usage on schema reco to reco_writer"))
    connection.execute(text("grant select on reco.alembic_version to reco_writer"))
