"""Apply sql/0006_verdicts.sql."""

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"

_FILE = Path(__file__).parents[4] / "sql" / "0006_verdicts.sql"


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(_FILE.read_text(encoding="utf-8"))
