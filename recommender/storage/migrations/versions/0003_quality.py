"""Apply sql/0003_quality.sql."""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"

_FILE = Path(__file__).parents[4] / "sql" / "0003_quality.sql"


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(_FILE.read_text(encoding="utf-8"))
