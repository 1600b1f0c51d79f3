"""Apply sql/0002_lookups.sql."""

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"

_FILE = Path(__file__).parents[4] / "sql" / "0002_lookups.sql"


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(_FILE.read_text(encoding="utf-8"))
