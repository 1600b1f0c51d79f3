"""Drafts: folders of many forms become a profile that reads them, and every guess says why."""

import gzip
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from recommender.config.settings import load_settings
from recommender.config.yaml12 import load_yaml
from recommender.data.check import check
from recommender.data.draft import Draft, draft
from recommender.data.draft.span import HOLDOUT_DAYS, VALIDATION_DAYS, nights_for
from recommender.errors import ConfigError, SourceError

TODAY = date(2026, 1, 1)
ROWS = 300
DAYS = [date(2023, 1, 1) + timedelta(days=n) for n in range(ROWS)]


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def lines(header: str, row: str, count: int = ROWS) -> str:
    """`row` once for every number: n, a user of 20, an item of 30, a day, and the seconds since 1970."""
    body = (
        row.format(n=n, user=n % 20, item=n * 7 % 30, day=day, d=day, epoch=(day - date(1970, 1, 1)).days * 86_400)
        for n, day in enumerate((DAYS * (1 + count // ROWS))[:count])
    )
    return "".join(f"{line}\n" for line in ([header] if header else []) + list(body))


def drafted(folder: Path) -> tuple[Draft, dict[str, Any]]:
    found = draft(folder, "mine", TODAY)
    content: dict[str, Any] = load_yaml(found.text)
    return found, content


def test_names_tell_what_a_column_is(tmp_path: Path) -> None:
    write(
        tmp_path,
        plays_dot_csv=lines("user_id,track_id,played_at", "u{user},t{item},{day}T10:00:00Z"),
        users_dot_csv=lines("id,country,age,gender,signup_date,email,plan",
                            "u{n},UK,{n},F,{day},me{n}@example.org,free", 20).replace("free", "paid", 3),
        tracks_dot_csv=lines("track_id,name,artist,genres,release_year,duration_ms,url",
                             "t{n},Song {n},Band,rock|pop,19{n:02d},1000,http://x.org/{n}", 30),
    )  # fmt: skip
    found, content = drafted(tmp_path)
    assert content["events"] == {
        "path": "plays.csv", "columns": {"user_id": "user_id", "item_id": "track_id", "ts": "played_at"},
    }  # fmt: skip
    assert content["users"]["columns"] == {
        "user_id": "id", "country": "country", "age": {"column": "age", "min": 10, "max": 95}, "gender": "gender",
        "registered": "signup_date", "plan": "plan",
    }  # fmt: skip
    assert content["items"]["columns"] == {
        "item_id": "track_id", "title": "name", "creator": "artist",
        "category": {"column": "genres", "separator": "|"}, "year": "release_year",
        "duration": {"sql": "try_cast(duration_ms as double) / 1000", "min": 0},
    }  # fmt: skip
    assert content["words"] == {"item": "track"}
    assert content["publish"] == {"segments": ["age_band", "country", "gender"]}
    assert "# 100% of the events' user_id are here" in found.text
    assert "    # email: email" in found.text and "    # url: url" in found.text
    assert [(file, role) for file, role, _ in found.found] == [
        ("plays.csv", "events"), ("users.csv", "users"), ("tracks.csv", "items"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("header", "row", "ts"),
    [
        ("user;item;time", "{user};{item};{d:%d.%m.%Y} 10:15", {"column": "time", "format": "%d.%m.%Y %H:%M"}),
        ("user|item|ts", "{user}|{item}|{epoch}", {"column": "ts", "unit": "seconds"}),
        ("user,item,ts", "{user},{item},{epoch}000", {"column": "ts", "unit": "milliseconds"}),
        ("user,item,ts", "{user},{item},{epoch}000000", {"column": "ts", "unit": "microseconds"}),
        ("user\titem\tyear\tmonth\tday", "{user}\t{item}\t{d:%Y}\t{d:%m}\t{d:%d}",
         {"parts": {"year": "year", "month": "month", "day": "day"}}),
    ],
)  # fmt: skip
def test_times_in_many_forms(home: Path, tmp_path: Path, header: str, row: str, ts: object) -> None:
    write(tmp_path / "data", log_dot_csv=lines(header, row))
    found, content = drafted(tmp_path / "data")
    assert content["events"]["columns"]["ts"] == ts
    assert content["schedule"]["end_date"] == DAYS[-1]
    report = checked(found, tmp_path)
    assert report.problems == []
    assert report.tables[-1].rejected == {}


def checked(found: Draft, folder: Path, data: str = "data") -> Any:
    (folder / "mine.yaml").write_text(found.text)
    return check(load_settings(str(folder / "mine.yaml"), folder / data))


def test_movielens_without_headers_is_understood_by_values(home: Path, tmp_path: Path) -> None:
    write(
        tmp_path / "data",
        ratings_dot_dat=lines("", "{user}::{item}::4::{epoch}"),
        users_dot_dat=lines("", "{n}::F::25::10::4806{n}", 20).replace("F", "M", 5),
        movies_dot_dat=lines("", "{n}::Film {n} (1995)::Drama|Comedy", 30),
    )
    found, content = drafted(tmp_path / "data")
    assert content["events"]["delimiter"] == "::"
    assert content["events"]["header"] is False
    assert (content["users"]["path"], content["items"]["path"]) == ("users.dat", "movies.dat")
    assert content["users"]["columns"]["gender"] == "column1"
    items = content["items"]["columns"]
    assert (items["title"], items["category"]) == ("column1", {"column": "column2", "separator": "|"})
    assert "regexp_extract(column1" in items["year"]["sql"]
    assert "its values are keys of users.dat" in found.text
    assert checked(found, tmp_path).problems == []


def test_files_of_one_layout_are_one_table(tmp_path: Path) -> None:
    day = lines("user,item,ts", "{user},{item},{day}T00:00:00")
    write(tmp_path, log__a_dot_csv=day, log__b_dot_csv=day, other_dot_csv="id,name\n1,x\n2,y\n")
    assert drafted(tmp_path)[1]["events"]["path"] == "log/*.csv"


def test_files_of_one_layout_in_the_top_folder_need_one_name(tmp_path: Path) -> None:
    day = lines("user,item,ts", "{user},{item},{day}T00:00:00")
    write(tmp_path, events_2023_dot_csv=day, events_2024_dot_csv=day)
    assert drafted(tmp_path)[1]["events"]["path"] == "events*.csv"
    things = "id,name\n" + "".join(f"{n},name {n}\n" for n in range(30))
    write(tmp_path, users_dot_csv=things, items_dot_csv=things)
    content = drafted(tmp_path)[1]
    assert (content["users"]["path"], content["items"]["path"]) == ("users.csv", "items.csv")


def test_a_code_gives_way_to_its_text(home: Path, tmp_path: Path) -> None:
    write(
        tmp_path / "data",
        views_dot_jsonl="".join(
            json.dumps({"user": f"u{n % 20}", "product": n * 7 % 30, "at": f"{DAYS[n]}T10:00:00Z"}) + "\n"
            for n in range(ROWS)
        ),
        products_dot_csv=lines("product,title,brand_id,price", "{n},Thing {n},{n}1,{n}.5", 30),
        brands_dot_csv=lines("brand_id,name", "{n}1,Brand {n}", 30),
    )
    found, content = drafted(tmp_path / "data")
    (join,) = content["items"]["joins"]
    assert (join["name"], join["on"], join["columns"]) == ("brands", {"brand_id": "brand_id"}, {"name": "min(name)"})
    assert content["items"]["columns"]["creator"] == {"sql": "brands.name"}
    assert "    # creator: brand_id" in found.text
    report = checked(found, tmp_path)
    assert report.problems == []
    creator = report.table("items").column("creator")
    assert (creator.missing, creator.distinct) == (0, 30)


def test_json_values_inside_others_and_lines_that_are_no_objects(home: Path, tmp_path: Path) -> None:
    views = [
        json.dumps({"user": {"id": n % 20}, "item": n * 7 % 30, "at": 1_672_531_200_000 + n * 86_400_000})
        for n in range(ROWS)
    ]
    titles = [json.dumps({"id": n, "title": f"Thing {n}", "meta": {"studio": "ABC"[n % 3]}}) for n in range(30)]
    write(
        tmp_path / "data",
        views_dot_jsonl="\n".join([*views, "no json", "[1]"]),
        items_dot_jsonl="\n".join(titles),
        list_dot_json="[1, 2]",
    )
    found, content = drafted(tmp_path / "data")
    assert content["events"]["columns"] == {
        "user_id": "user.id",
        "item_id": "item",
        "ts": {"column": "at", "unit": "milliseconds"},
    }
    assert content["items"]["columns"]["creator"] == "meta.studio"
    assert ("list.json", "not read", "no JSON object a line") in found.found
    report = checked(found, tmp_path)
    assert (report.problems, report.table("events").rejected) == ([], {"unparsable": 2})


def test_a_shop_of_another_language_with_decimal_commas(home: Path, tmp_path: Path) -> None:
    write(
        tmp_path / "data",
        bestellungen_dot_csv=lines("Bestellnr;Kunde;Artikelnr;Zeitpunkt", "{n};K{user};S{item};{d:%d.%m.%Y} 10:00"),
        artikel_dot_csv=lines("Artikelnr;Bezeichnung;Stückpreis", "S{n};Ding {n};{n},50", 30),
    )
    found, content = drafted(tmp_path / "data")
    assert content["events"]["columns"]["user_id"] == "Kunde"
    assert content["events"]["columns"]["item_id"] == "Artikelnr"
    price = content["items"]["columns"]["stuckpreis"]
    assert price == {"sql": "replace(Stückpreis, ',', '.')", "type": "number"}
    report = checked(found, tmp_path)
    assert (report.problems, report.table("items").column("stuckpreis").missing) == ([], 0)


def test_tables_of_another_origin_meet_by_text(home: Path, tmp_path: Path) -> None:
    write(
        tmp_path / "data",
        plays_dot_csv=lines("user,song,ts", "{user},{item},{day}"),
        songs_dot_csv=lines("song,title", "{n},Señorita №{n}", 30),
        audio_dot_csv=lines("title,energy,tempo", "SENORITA no{n},0.{n},120", 60),
    )
    _, content = drafted(tmp_path / "data")
    (join,) = content["items"]["joins"]
    assert join["on"] == {"fold(title)": "fold(title)"}
    assert join["columns"]["energy"] == "avg(try_cast(energy as double))"
    assert content["items"]["columns"]["energy"] == {"sql": "audio.energy", "type": "number"}


def test_rows_that_look_repeated_are_told_apart_and_weighed(home: Path, tmp_path: Path) -> None:
    write(
        tmp_path / "data",
        taggings_dot_csv=lines("userID,artistID,tagID,timestamp", "{user},{user},{n},{d:%Y-%m}-01 00:00:00"),
        user_artists_dot_csv=lines("userID,artistID,weight", "{user},{n},{n}000", 30),
        artists_dot_csv=lines("id,name,url", "{n},Band {n},http://x.org/{n}", 30),
        tags_dot_csv=lines("tagID,tagValue", "{n},Tag {n}", ROWS),
    )
    found, content = drafted(tmp_path / "data")
    events = content["events"]["columns"]
    assert events["event_type"] == "tagID"
    assert events["weight"] == {"sql": "ln(1 + user_artists.weight)"}
    assert content["events"]["joins"][0]["on"] == {"userID": "userID", "artistID": "artistID"}
    assert content["items"]["columns"]["title"] == "name"
    assert content["items"]["columns"]["category"] == {"sql": "taggings_tags.tags", "type": "list"}
    report = checked(found, tmp_path)
    assert report.problems == []
    assert report.table("events").rejected == {}
    tags = report.table("items").column("category")
    assert (tags.missing, tags.distinct) == (10, 20 * 5)  # ten artists were never tagged


def test_latin_1_and_tabs_without_quotes(home: Path, tmp_path: Path) -> None:
    write(tmp_path / "data", log_dot_tsv=lines("user\titem\tts", "{user}\t{item}\t{day}"))
    items = lines("item\ttitle", '{n}\tGröße 5" {n}', 30).encode("latin-1")
    (tmp_path / "data" / "items.tsv").write_bytes(items)
    found, content = drafted(tmp_path / "data")
    assert (content["items"]["encoding"], content["items"]["quote"]) == ("latin-1", "")
    report = checked(found, tmp_path)
    assert (report.problems, report.table("items").kept) == ([], 30)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "it holds no file"),
        ({"a_dot_csv": "user,item\nann,lamp\nann,desk\n"}, r"a\.csv has user, item: no time"),
        ({"a_dot_csv": "when,what\n2020-01-01,lamp\n2020-01-02,desk\n"}, r"a\.csv has when, what: no user and item"),
        ({"readme_dot_txt": "some words\nand more\n"}, r"readme\.txt: one column only"),
        ({"a_dot_csv": "", "b_dot_xlsx": "PK"}, r"a\.csv: empty; b\.xlsx: \.xlsx is no form of table"),
    ],
)
def test_without_events_it_says_what_it_saw(tmp_path: Path, files: dict, message: str) -> None:
    write(tmp_path / "data", **files)
    (tmp_path / "data").mkdir(exist_ok=True)
    with pytest.raises(SourceError, match=message) as caught:
        draft(tmp_path / "data", None, TODAY)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("dirt", "rejected"),
    [
        (b"u1,i2,2023-01-01,too,many\nu1\n", {"unparsable": 2}),
        (b"u1,i\0,2023-01-01\n", {"unusable item_id": 1}),
        (b'u1,"i2,2023-01-01\n', {"unparsable": 1}),
        (b"u1," + b"i" * 10_000 + b",2023-01-01\n", {"overlong item_id": 1}),
    ],
)
def test_dirty_rows_do_not_hide_a_table(home: Path, tmp_path: Path, dirt: bytes, rejected: dict[str, int]) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "log.csv").write_bytes(lines("user,item,ts", "u{user},i{item},{day}").encode() + dirt)
    report = checked(drafted(tmp_path / "data")[0], tmp_path)
    assert report.problems == []
    assert report.table("events").rejected == rejected


def test_a_broken_file_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    log = lines("user,item,ts", "{user},{item},{day}")
    write(tmp_path, log_dot_csv=log, old_dot_parquet="PAR1 nothing")
    (tmp_path / "new.csv.gz").write_bytes(gzip.compress(log.encode())[:-30])
    found = drafted(tmp_path)[0].found
    assert [(file, role) for file, role, _ in found] == [
        ("log.csv", "events"), ("new.csv.gz", "not read"), ("old.parquet", "not read"),
    ]  # fmt: skip


def test_names_that_need_quotes(home: Path, tmp_path: Path) -> None:
    header = 'user name,"item: id","the ""ts"" time",n # of plays'
    write(tmp_path / "data", log_dot_csv=lines(header, "u{user},i{item},{day},{n}"))
    found, content = drafted(tmp_path / "data")
    assert content["events"]["columns"]["item_id"] == "item: id"
    report = checked(found, tmp_path)
    assert (report.problems, report.tables[0].kept) == ([], ROWS)


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    write(tmp_path, log_dot_csv=lines("user,item,ts", "{user},{item},{day}"))
    with pytest.raises(ConfigError, match="say another with --name"):
        draft(tmp_path, "My Shop", TODAY)


def test_no_user_is_named(tmp_path: Path) -> None:
    write(
        tmp_path,
        log_dot_csv=lines("user,item,ts", "person{user},{item},{day}"),
        users_dot_csv=lines("user,home_town,nick", "person{n},Rome,nick{n}", 20),
    )
    found = draft(tmp_path, None, TODAY)
    for secret in ("person", "Rome", "nick1"):
        assert secret not in found.text + str(found.found)


def test_the_first_night_has_something_to_be_judged_on() -> None:
    daily = {date(2023, 1, 1) + timedelta(days=n): 10 for n in range(365)}
    assert nights_for(daily, TODAY).start == date(2023, 12, 1)
    assert nights_for(daily, TODAY).end == date(2023, 12, 31)
    assert nights_for(daily, date(2024, 1, 2)).end is None  # more will come
    monthly = {day: 10 for day in daily if day.day == 1}
    span = nights_for(monthly, TODAY)
    held = [day for day in monthly if span.start - timedelta(days=HOLDOUT_DAYS) < day <= span.start]
    stop = span.start - timedelta(days=HOLDOUT_DAYS)
    assert held
    assert [day for day in monthly if stop - timedelta(days=span.validation_days) < day <= stop]
    short = nights_for({date(2023, 1, 1): 5, date(2023, 1, 8): 5}, TODAY)
    assert (short.start, short.holdout_days, short.validation_days) == (date(2023, 1, 8), 2, 1)
    assert (HOLDOUT_DAYS, VALIDATION_DAYS) == (28, 14)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("folder", "rows", "kept"),
    [
        ("lfm", 425_010, 425_010),
        ("ml1m", 932_293, 932_293),
        ("hetrec-lastfm-2k", 186_479, 184_936),
    ],
)
def test_real_folders_need_no_edit(
    shared_data: Path, home: Path, tmp_path: Path, folder: str, rows: int, kept: int
) -> None:
    found = draft(shared_data / folder, None, TODAY)
    (tmp_path / "mine.yaml").write_text(found.text)
    report = check(load_settings(str(tmp_path / "mine.yaml"), shared_data / folder))
    assert report.problems == []
    assert report.ds == found.first_night
    events = report.table("events")
    assert events is not None and (events.rows, events.kept) == (rows, kept)


@pytest.mark.shared_data
def test_data_without_times_is_refused_in_one_line(shared_data: Path) -> None:
    with pytest.raises(SourceError, match=r"data1\.txt has column0, column1, column2: no time"):
        draft(shared_data / "bench" / "lastfm-lightgcn", None, TODAY)
