"""Apply sql/0001_tables.sql."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None

_FILE = Path(__file__).parents[4] / "sql" / "0001_tables.sql"


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(_FILE.read_text(encoding="utf-8"))
