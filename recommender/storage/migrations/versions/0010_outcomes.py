"""Apply sql/0010_outcomes.sql."""

from pathlib import Path

from alembic import op

revision = "0010"
down_revision = "0009"

_FILE = Path(__file__).parents[4] / "sql" / "0010_outcomes.sql"


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(_FILE.read_text(encoding="utf-8"))
