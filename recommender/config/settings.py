"""Settings: the environment, the profile file, and overrides, resolved once and validated.

Order of precedence, strongest first: command line, `RECOMMENDER__SECTION__KEY` variables, the profile
file, defaults. Without a profile the one last selected in this home is used, else `synthetic`.
"""

import json
import os
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from recommender.config.candidates import DEFAULT_KIND
from recommender.config.models import MODEL_KINDS
from recommender.config.profile import Profile
from recommender.config.section import first_problem, place
from recommender.config.yaml12 import load_yaml, read_yaml
from recommender.errors import ConfigError, SourceError

PROFILES = Path(__file__).parent / "profiles"
OVERRIDE_PREFIX = "RECOMMENDER__"
DEFAULT_PROFILE = "synthetic"


@dataclass(frozen=True)
class Settings:
    """Everything a stage needs to know beside its `ds`."""

    profile: Profile
    profile_path: Path
    data: Path
    """Folder of the source files."""
    home: Path
    database_url: str | None
    """None: the embedded server of this world."""

    @property
    def world(self) -> Path:
        """Folder of everything this profile keeps on disk; two profiles never share one."""
        return self.home / self.profile.name

    @property
    def lake(self) -> Path:
        return self.world / "lake"

    @property
    def artifacts(self) -> Path:
        return self.world / "artifacts"

    @property
    def checkpoints(self) -> Path:
        """Where interrupted training finds how far it was."""
        return self.world / "checkpoints"

    @property
    def ranked(self) -> Path:
        """Where ranked lists wait for being published."""
        return self.world / "ranked"

    @property
    def tensorboard(self) -> Path:
        return self.world / "tensorboard"

    @property
    def backtests(self) -> Path:
        return self.world / "backtests"

    @property
    def reports(self) -> Path:
        return self.world / "reports"

    @property
    def data_docs(self) -> Path:
        return self.world / "data_docs"

    @property
    def postgres(self) -> Path:
        return self.world / "postgres"

    def environment(self) -> dict[str, str]:
        """The variables that give a child process these same settings."""
        variables = {
            "RECOMMENDER_HOME": str(self.home),
            "RECOMMENDER_PROFILE": str(self.profile_path),
            "RECOMMENDER_DATA": str(self.data),
        }
        if self.database_url:
            variables["RECOMMENDER_DATABASE_URL"] = self.database_url
        return variables


def load_settings(
    profile: str | None = None, data: str | Path | None = None, *, reads_sources: bool = True
) -> Settings:
    """Resolve settings from arguments, environment and profile file.

    With `reads_sources=False`, for look-ups and the like, no data folder needs to be known.

    Raises
    ------
    ConfigError
        The profile does not exist, is not YAML, or says something that is not allowed.
    SourceError
        The data folder does not exist.
    """
    home = home_folder()
    selected = _read_selection(home)
    name = profile or os.environ.get("RECOMMENDER_PROFILE")
    if name is None:
        name = selected.get("profile", DEFAULT_PROFILE)
    path = _profile_path(name)
    parsed = _parse_profile(path, _environment_overrides())
    folder = data or os.environ.get("RECOMMENDER_DATA")
    if folder is None and selected.get("profile") == str(path):
        folder = selected.get("data")
    if reads_sources and folder is None and parsed.synthetic is None:
        raise ConfigError(f"profile {parsed.name!r} needs data: give --data DIR or set RECOMMENDER_DATA")
    resolved = Path(folder).absolute() if folder is not None else home / parsed.name / "source"
    if reads_sources and folder is not None and parsed.synthetic is None and not resolved.is_dir():
        raise SourceError(f"data folder {resolved} does not exist (--data or RECOMMENDER_DATA)")
    return Settings(
        profile=parsed,
        profile_path=path,
        data=resolved,
        home=home,
        database_url=os.environ.get("RECOMMENDER_DATABASE_URL") or None,
    )


def home_folder() -> Path:
    """Where the worlds of all profiles are kept."""
    return Path(os.environ.get("RECOMMENDER_HOME") or ".recommender").absolute()


def select(settings: Settings) -> None:
    """Remember this profile and data as the home's default for later commands.

    Raises
    ------
    ConfigError
        The home can't be written.
    """
    target = settings.home / "selected.json"
    temporary = target.with_suffix(f".{os.getpid()}.tmp")
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"profile": str(settings.profile_path), "data": str(settings.data)}))
        temporary.replace(target)
    except OSError as error:
        raise ConfigError(
            f"cannot write in {settings.home}: {error.strerror}; set RECOMMENDER_HOME to a folder that you may write"
        ) from error


def parse_ds(text: str) -> date:
    """Turn `YYYY-MM-DD` into a night's date."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"ds must be a date like 2014-04-30, not {text!r}") from None


def nights(first: date, last: date) -> list[date]:
    """Every night from `first` to `last`, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _read_selection(home: Path) -> dict[str, str]:
    path = home / "selected.json"
    if not path.is_file():
        return {}
    try:
        selection: dict[str, str] = json.loads(path.read_text())
    except json.JSONDecodeError:
        raise ConfigError(f"{path} is not valid JSON: delete it and name the profile with --profile") from None
    return selection


def _profile_path(name: str) -> Path:
    is_file = name.endswith((".yaml", ".yml")) or os.sep in name
    path = Path(name).absolute() if is_file else PROFILES / f"{name}.yaml"
    if not path.is_file():
        shipped = ", ".join(sorted(p.stem for p in PROFILES.glob("*.yaml")))
        raise ConfigError(f"profile {name!r} not found at {path}; shipped profiles: {shipped}")
    return path


def _environment_overrides() -> dict[str, Any]:
    """`RECOMMENDER__TRAINING__SEED=3` as `{"training": {"seed": 3}}`; values are read as YAML."""
    overrides: dict[str, Any] = {}
    for variable, text in sorted(os.environ.items()):
        if variable.startswith(OVERRIDE_PREFIX):
            *sections, key = variable.removeprefix(OVERRIDE_PREFIX).lower().split("__")
            node = overrides
            for section in sections:
                if node.get(section) is None:  # null says no more than the keys below it
                    node[section] = {}
                node = node[section]
                if not isinstance(node, dict):
                    raise ConfigError(f"{variable}: another variable makes {section} {node!r}: unset one of the two")
            try:
                node[key] = load_yaml(text)
            except yaml.YAMLError:
                raise ConfigError(f"{variable} is not a YAML value: {text!r}") from None
    return overrides


def _parse_profile(path: Path, overrides: dict[str, Any]) -> Profile:
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is not a profile: expected a mapping with name, events, users and items")
    try:
        return Profile.model_validate(_merged(content, overrides))
    except ValidationError as error:
        first = error.errors()[0]["loc"]
        variable = OVERRIDE_PREFIX + "__".join(part.upper() for part in place(first))
        where = variable if variable in os.environ else path
        raise ConfigError(f"{where}: {first_problem(error, 'profile')}") from None


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        if not isinstance(old, dict) or not isinstance(value, dict) or _is_another_model(old, value):
            merged[key] = value
        else:
            merged[key] = _merged(old, value)
    return merged


def _is_another_model(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """True for sections of two kinds of model: they have other keys, so that the new one stands alone."""
    kind = new.get("kind")
    return kind in MODEL_KINDS and kind != old.get("kind", DEFAULT_KIND)
