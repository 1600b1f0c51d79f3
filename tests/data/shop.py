"""A tiny shop whose every row is written out, and the profile that reads it."""

from datetime import date
from pathlib import Path

from recommender.config.settings import Settings, load_settings

PROFILE = """
name: shop
events:
  path: events.csv
  columns: {user_id: who, item_id: what, ts: when}
users:
  path: users.csv
  columns: {user_id: id, country: land, age: {column: age, min: 10, max: 99}}
items:
  path: items.csv
  columns: {item_id: id, title: name, creator: maker, category: kind, year: {sql: "substr(made, 1, 4)"}}
features:
  user: [events_7d, events_30d, events_total, active_days_30d, creators_total, categories_total, days_since_last_event,
         tenure_days, country, age]
  item: [events_7d, events_total, users_total, days_since_last_event, days_since_first_event, creator_events_7d,
         creator, category, year]
"""
EVENTS = """who,what,when
ann,lamp,2020-01-01T10:00:00Z
ann,desk,2020-01-02T23:59:59Z
bob,lamp,2020-01-02T00:00:00Z
bob,lamp,2020-01-02T00:00:00Z
bob,sofa,2020-01-02T12:00:00+02:00
bob,rug,2020-01-02T13:00:00Z
eve,lamp,2020-01-02T14:00:00Z
,lamp,2020-01-02T15:00:00Z
ann,,2020-01-02T15:00:00Z
ann,rug,yesterday
ann,lamp,1956-11-01T00:00:00Z
ann,sofa,2020-01-03T00:00:00Z
"""
USERS = """id,land,age
ann,UK,34
bob,,250
cat,FR,17
cat,DE,18
,PL,20
"""
ITEMS = """id,name,maker,kind,made
lamp,Lamp,lux,light,1999-05-01
desk,Desk,oak,wood,2001-01-01
sofa,Sofa,oak,soft,
"""
FIRST = date(2020, 1, 2)


def write_shop(
    folder: Path, *, events: str = EVENTS, users: str = USERS, items: str = ITEMS, profile: str = PROFILE
) -> Settings:
    """Write the files and return settings that read them; RECOMMENDER_HOME must be set."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("events.csv", events), ("users.csv", users), ("items.csv", items), ("shop.yaml", profile)):
        (folder / name).write_text(text)
    return load_settings(str(folder / "shop.yaml"), folder)
