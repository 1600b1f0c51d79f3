"""Apply sql/0008_lookups.sql."""

from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"

_FILE = Path(__file__).parents[4] / "sql" / "0008_lookups.sql"


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(_FILE.read_text(encoding="utf-8"))
