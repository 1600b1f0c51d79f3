"""Apply sql/0007_reasons.sql."""

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"

_FILE = Path(__file__).parents[4] / "sql" / "0007_reasons.sql"


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(_FILE.read_text(encoding="utf-8"))
