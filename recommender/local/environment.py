"""The settings of a local Airflow, as environment variables; its keys and the admin's password."""

import json
import os
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

import recommender
from recommender.config.settings import Settings

HOST = "127.0.0.1"
ADMIN = "admin"
DAGS = Path(recommender.__file__).resolve().parents[1] / "dags"
_JWT_BYTES = 96
"""Airflow signs with HS512, which wants at least 64."""
_CHATTY = ("great_expectations", "feast", "alembic", "httpx", "evidently", "matplotlib")


def password_file(home: Path) -> Path:
    """Where the admin's password of the Airflow in `home` is kept, readable by this user only."""
    return home / "passwords.json"


def admin_password(home: Path) -> str:
    """The admin's password, made when first asked for."""
    path = password_file(home)
    if not path.is_file():
        _write_private(path, {ADMIN: secrets.token_urlsafe(12)})
    passwords: dict[str, str] = json.loads(path.read_text())
    return passwords[ADMIN]


def airflow_environment(settings: Settings, home: Path, port: int, database: str) -> dict[str, str]:
    """Variables for every Airflow process of one world: this environment, Airflow's settings, and `settings`.

    `database` is a SQLAlchemy URL; the api-server will listen on `port`.
    """
    keys = _keys(home)
    admin_password(home)
    url = f"http://{HOST}:{port}"
    variables = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(os.cpu_count() or 1),
        "AIRFLOW__CORE__FERNET_KEY": keys["fernet"],
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(password_file(home)),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": database,
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__SECRET_KEY": keys["api"],
        "AIRFLOW__API_AUTH__JWT_SECRET": keys["jwt"],
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        # tasks of a stopped Airflow are noticed and tried again after a minute, not after five
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__LOGGING__NAMESPACE_LEVELS": " ".join(f"{name}=WARNING" for name in _CHATTY),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "DO_NOT_TRACK": "1",
        "ORT_DISABLE_TELEMETRY": "1",
        "FEAST_USAGE": "False",
        "PYTHONUNBUFFERED": "1",
    }
    return {**os.environ, **variables, **settings.environment()}


def _keys(home: Path) -> Mapping[str, str]:
    path = home / "secrets.json"
    if not path.is_file():
        keys = {
            "fernet": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "api": secrets.token_urlsafe(48),
            "jwt": secrets.token_urlsafe(_JWT_BYTES),
        }
        _write_private(path, keys)
    content: dict[str, str] = json.loads(path.read_text())
    return content


def _write_private(path: Path, content: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file)
    temporary.replace(path)
