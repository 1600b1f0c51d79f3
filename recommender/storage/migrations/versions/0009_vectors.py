"""Apply sql/0009_vectors.sql."""

from pathlib import Path

from alembic import op

revision = "0009"
down_revision = "0008"

_FILE = Path(__file__).parents[4] / "sql" / "0009_vectors.sql"


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(_FILE.read_text(encoding="utf-8"))
