"""Apply sql/0004_search.sql."""

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"

_FILE = Path(__file__).parents[4] / "sql" / "0004_search.sql"


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(_FILE.read_text(encoding="utf-8"))
