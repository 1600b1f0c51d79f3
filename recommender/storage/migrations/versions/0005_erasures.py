"""Apply sql/0005_erasures.sql."""

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"

_FILE = Path(__file__).parents[4] / "sql" / "0005_erasures.sql"


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(_FILE.read_text(encoding="utf-8"))
