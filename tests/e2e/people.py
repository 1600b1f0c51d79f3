"""A world whose people have unmistakable ids and attributes, some of them in rows that are wrong.

Every value that is personal holds one of `MARKS`, so that a search for them finds any leak.
"""

import io
import logging
import random
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

from typer.testing import CliRunner

from recommender.cli import app
from recommender.config.settings import Settings

FIRST, SECOND, THIRD = date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30)
MARKS = ("qzuser", "zanzibarland", "atlantisland", "qzgender", "qzmail", "43.4453", "71.8253", "1718.25")
"""In lower case. All plausible ages are one of two, so that whatever shows a range of ages shows them."""
PLAIN = ("gold", "silver")
"""Values of the one column of the users that the profile calls not personal."""
USERS, ITEMS = 52, 40
"""Too few for a group of users of which a report may name the attribute."""
PROFILE = f"""
name: people
events: {{path: events.csv, columns: {{user_id: u, item_id: i, ts: t, mail: {{column: mail, personal: true}}}}}}
users:
  path: users.csv
  columns:
    user_id: u
    country: c
    age: {{column: a, min: 10, max: 100}}
    gender: g
    mail: mail
    plan: {{column: plan, personal: false}}
items: {{path: items.csv, columns: {{item_id: i, title: title, creator: creator, category: category}}}}
features:
  user: [events_7d, events_total, country, age, age_band, gender, mail, plan]
  item: [events_7d, events_total, creator, category]
quality: {{max_rejected_share: 0.5, expectations: expectations}}
model: {{dimension: 8, history_length: 10, batch_size: 128, max_epochs: 2}}
training: {{window_days: 30, validation_days: 5, threads: 1}}
evaluation: {{holdout_days: 7}}
gate: {{policy: POLICY}}
publish: {{top_k: 5, similar_k: 5, keep: 3, segments: [country], min_segment_users: 2}}
schedule: {{start_date: {FIRST}}}
"""
WARNINGS = """
- expect: expect_column_values_to_be_in_set
  column: country
  value_set: [Nowhere]
  severity: warn
- expect: expect_column_values_to_be_between
  column: age
  max_value: 50
  severity: warn
- expect: expect_column_max_to_be_between
  column: age
  max_value: 50
  severity: warn
- expect: expect_column_values_to_match_regex
  column: user_id
  regex: ^[0-9]+$
  severity: warn
"""


@dataclass
class People:
    """The world, and all that its commands have said."""

    settings: Settings
    folder: Path
    said: list[str] = field(default_factory=list)

    def run(self, *arguments: str, expect: int = 0, **variables: str) -> str:
        """A `recommender` command as an operator types it; keeps and returns what it prints and logs."""
        logged = io.StringIO()
        handler = logging.StreamHandler(logged)
        handler.setLevel(logging.INFO)  # as Airflow keeps it
        root = logging.getLogger()
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        try:
            environment = {**self.settings.environment(), "COLUMNS": "200", **variables}
            done = CliRunner().invoke(app, arguments, env=environment)
        finally:
            root.removeHandler(handler)
            root.setLevel(level)
        said = done.output + logged.getvalue()
        self.said.append(said)
        assert done.exit_code == expect, f"{said}\n{done.exception!r}"
        return said


def user(number: int) -> str:
    return f"QZuser-{number}"


def write_people(folder: Path) -> Path:
    """The source files and the profile; returns the profile's path."""
    rng = random.Random(5)  # noqa: S311  not a secret
    folder.mkdir(parents=True, exist_ok=True)
    users = ["u,c,a,g,mail,plan"]
    for number in range(USERS):
        country, age = rng.choice(("Zanzibarland", "Atlantisland")), rng.choice(("43.4453", "71.8253"))
        gender, plan = rng.choice(("qzgender-a", "qzgender-b")), rng.choice(PLAIN)
        users.append(f"{user(number)},{country},{age},{gender},qzmail-{number}@example.org,{plan}")
    users += [
        f"{user(0)},Zanzibarland,43.4453,qzgender-a,qzmail-twice@example.org,gold",  # a duplicate
        ",Atlantisland,71.8253,qzgender-b,qzmail-nobody@example.org,gold",
        f"{user(USERS)},Zanzibarland,1718.2536,qzgender-a,,gold",  # out of range
        f"{user(USERS + 1)},Zanzibarland,qzmail-in-age,qzgender-a,,gold",
        f"{user(USERS + 2)},Zanzibarland,43.4453,qzgender-a,qzmail-x@example.org,gold,one,too,many",
    ]
    items = ["i,title,creator,category"]
    items += [f"item-{n},Song {n},Band {n % 7},{('rock', 'jazz')[n % 2]}" for n in range(ITEMS)]
    events = ["u,i,t,mail"]
    start = datetime(2026, 2, 1)
    for number in range(USERS - 5):  # the last ones are newcomers without an event
        for _ in range(30):
            moment = start + timedelta(minutes=rng.randrange(60 * 24 * 60))
            item = 2 * rng.randrange(ITEMS // 2) + number % 2  # odd people like jazz
            events.append(f"{user(number)},item-{item},{moment:%Y-%m-%d %H:%M:%S},qzmail-{number}@example.org")
    late = "2026-03-20 10:00:00"
    events += [
        events[1],
        f"QZuser-stranger,item-1,{late},qzmail-s@example.org",
        f"{user(1)},item-unknown,{late},qzmail-1@example.org",
        f"{user(1)},item-1,Zanzibarland,qzmail-1@example.org",
        f"{user(2)},,{late},qzmail-2@example.org",
        f",item-1,{late},qzmail-nobody@example.org",
        f"{user(1)},item-1,{late},qzmail-1@example.org,one,too,many",
        f"QZuser-torn,item-1,{late},qzmail-t@example.org,one,too,many",  # all there is of this one
    ]
    for name, lines in {"users": users, "items": items, "events": events}.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    (folder / "expectations").mkdir(exist_ok=True)
    for table in ("users", "user_features"):
        (folder / "expectations" / f"{table}.yaml").write_text(WARNINGS)
    # two tiny models are compared on noise: let any pass, so that there is a champion of every kind of artifact
    (folder / "policy.yaml").write_text("rules:\n- {name: exists, metric: recall@20, at_least: 0.0}\n")
    (folder / "people.yaml").write_text(PROFILE.replace("POLICY", str(folder / "policy.yaml")))
    return folder / "people.yaml"
