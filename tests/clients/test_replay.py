"""Replaying: a file's rows become events by its mapping, and no row is lost without a word."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.replay.__main__ import main
from clients.replay.mapping import InvalidMapping, Mapping
from clients.replay.replay import Account, Replay, paced, translate
from clients.replay.rows import Row, UnreadableFile, columns, read
from clients.replay.translate import BadRow, Translated, Translator, days_to, read_time
from domain.events import EVENTS
from domain.ingest.contract import check
from local.cloud import Cloud

NOW = datetime(2026, 3, 2, tzinfo=timezone.utc)
MAPPINGS = Path(__file__).parents[2] / "clients" / "mappings"

MAPPING = """\
user_id = {column = "visitor"}
ignore = ["referer"]

[time]
column = "ts"
format = "%d.%m.%Y %H:%M:%S"
zone = "Europe/Berlin"

[[skip]]
when = {action = "ping"}

[[event]]
name = "page_view"
when = {action = ["open", "reload"]}
page = {template = "/p/{item}"}
device = {column = "agent", values = {iPhone = "mobile"}, otherwise = "desktop"}
country = "DE"

[[event]]
name = "product_view"
when = {action = {matches = "look.*"}}
product_id = {column = "item"}
category = "all"
price = {column = "cost"}
"""

ROWS: list[dict[str, Any]] = [
    {"visitor": "7", "ts": "01.03.2026 13:00:00", "action": "open", "item": "a", "agent": "iPhone", "cost": ""},
    {"visitor": "7", "ts": "01.03.2026 13:00:05", "action": "looked", "item": "b", "agent": "", "cost": "9.90"},
    {"visitor": "7", "ts": "01.03.2026 13:00:06", "action": "ping", "item": "b", "agent": "", "cost": ""},
    {"visitor": "8", "ts": "01.03.2026 13:00:07", "action": "look", "item": "c", "agent": "", "cost": "dear"},
    {"visitor": "8", "ts": "yesterday", "action": "reload", "item": "c", "agent": "x", "cost": ""},
    {"visitor": "8", "ts": "01.03.2026 13:00:09", "action": "jump", "item": "c", "agent": "x", "cost": ""},
    {"visitor": "", "ts": "01.03.2026 13:00:09", "action": "open", "item": "c", "agent": "x", "cost": ""},
]


@pytest.fixture
def mapping_file(tmp_path: Path) -> Path:
    path = tmp_path / "mapping.toml"
    path.write_text(MAPPING)
    return path


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    path = tmp_path / "clicks.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*ROWS[0], "referer"])
        writer.writeheader()
        writer.writerows(ROWS)
    return path


@pytest.fixture
def stream(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    client = cloud.client("kinesis")
    client.create_stream(StreamName="clicks", ShardCount=1)
    client.get_waiter("stream_exists").wait(StreamName="clicks", WaiterConfig={"Delay": 1})
    yield client
    client.delete_stream(StreamName="clicks")
    client.get_waiter("stream_not_exists").wait(StreamName="clicks", WaiterConfig={"Delay": 1})


def arrived(client: Any) -> list[dict[str, Any]]:
    shard = client.get_shard_iterator(
        StreamName="clicks", ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
    )
    return [
        json.loads(record["Data"]) for record in client.get_records(ShardIterator=shard["ShardIterator"])["Records"]
    ]


def mapping_of(tmp_path: Path, text: str) -> Mapping:
    path = tmp_path / "m.toml"
    path.write_text(text)
    return Mapping.read(path)


def any_mapping(tmp_path: Path, **changes: Any) -> Mapping:
    return replace(mapping_of(tmp_path, MAPPING), **changes)


def any_row(**changes: Any) -> Row:
    return Row(1, 0, {**ROWS[1], **changes})


def any_event(seconds: float) -> Translated:
    return Translated("u", b"{}", "page_view", "e", NOW + timedelta(seconds=seconds))


def test_rows_become_events_and_every_other_row_is_told(
    csv_file: Path, mapping_file: Path, stream: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    status = main([str(csv_file), "--mapping", str(mapping_file), "--stream", "clicks", "--out", str(out)])
    events = arrived(stream)
    rejects = [json.loads(line) for line in (out / "rejects.ndjson").read_text().splitlines()]
    ledger = [json.loads(line) for line in (out / "sent.ndjson").read_text().splitlines()]

    assert status == 0
    assert [event.pop("event_id") for event in events] == [said["event_id"] for said in ledger]
    assert events == [
        {
            "event": "page_view",
            "event_time": "2026-03-01T12:00:00Z",
            "user_id": "7",
            "page": "/p/a",
            "device": "mobile",
            "country": "DE",
        },
        {
            "event": "product_view",
            "event_time": "2026-03-01T12:00:05Z",
            "user_id": "7",
            "product_id": "b",
            "category": "all",
            "price": 9.9,
        },
    ]
    assert {reject["row"]: reject["reason"].split(":")[0] for reject in rejects} == {
        4: "price",
        5: "ts",
        6: "no rule is for action='jump'",
        7: "missing_field",
    }
    assert rejects[0]["values"]["cost"] == "dear"
    assert "7 rows = 2 sent + 1 skipped + 4 rejected" in capsys.readouterr().out


def test_a_second_replay_sends_the_same_events_by_the_same_names(
    csv_file: Path, mapping_file: Path, stream: Any, tmp_path: Path
) -> None:
    command = [str(csv_file), "--mapping", str(mapping_file), "--stream", "clicks", "--out", str(tmp_path / "out")]
    main(command)
    main(command)
    ids = [event["event_id"] for event in arrived(stream)]

    assert ids[:2] == ids[2:]
    assert len(set(ids)) == 2


def test_equal_rows_are_different_events(tmp_path: Path) -> None:
    translator = Translator(any_mapping(tmp_path), NOW)

    assert translator.name(Row(1, 0, ROWS[1])) != translator.name(Row(2, 0, ROWS[1]))


def test_every_format_gives_the_same_rows(csv_file: Path, tmp_path: Path) -> None:
    mapping = any_mapping(tmp_path)
    rows = [row.values for row in read(csv_file, mapping)]
    ndjson = tmp_path / "clicks.jsonl.gz"
    ndjson.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    parquet = tmp_path / "clicks.parquet"
    pq.write_table(pa.Table.from_pylist(rows), parquet)

    assert [row.values for row in read(ndjson, mapping)] == rows
    assert [row.values for row in read(parquet, mapping)] == rows
    assert columns(csv_file, mapping) == columns(ndjson, mapping) == columns(parquet, mapping)


def test_rows_that_cannot_be_read_are_told_and_their_neighbours_kept(tmp_path: Path) -> None:
    mapping = any_mapping(tmp_path)
    table, lines = tmp_path / "a.csv", tmp_path / "a.ndjson"
    table.write_text("x,y\n1,2\n\n1,2,3\n1\n3,4\n")
    lines.write_text('{"x": 1}\nno\n[1]\n\n{"x": 2}\n')

    assert [(row.number, row.fault) for row in read(table, mapping)] == [
        (1, None),
        (2, "3 cells, the header has 2"),
        (3, "1 cells, the header has 2"),
        (4, None),
    ]
    assert [row.fault and row.fault[:8] for row in read(lines, mapping)] == [None, "not JSON", "JSON, bu", None]


def test_a_quotation_that_does_not_end_swallows_no_rows_in_silence(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text('x,y\n1,"a\nb"\n2,"c\n3,4\n')

    assert [row.fault for row in read(table, any_mapping(tmp_path))] == [None, "not CSV: unexpected end of data"]


@pytest.mark.parametrize(("name", "mark", "encoding"), [("a.tsv", "\t", "utf-8"), ("a.csv", ",", "utf-16")])
def test_tabs_of_a_tsv_and_texts_of_a_spreadsheet_are_read(tmp_path: Path, name: str, mark: str, encoding: str) -> None:
    (tmp_path / name).write_bytes(f"x{mark}y\n1{mark}ä\n".encode(encoding))

    assert [row.values for row in read(tmp_path / name, any_mapping(tmp_path))] == [{"x": "1", "y": "ä"}]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.csv", b"x,y,x\n1,2,3\n", "names the column 'x' twice"),
        ("a.csv", b"x;y\n1;2\n", "is ';' the delimiter? then write [file] delimiter = \";\""),
        ("a.json", b'{\n"x": 1\n}\n', "none of its first 3 rows can be read, the first since it is not JSON"),
        ("a.ndjson", b"[" * 100_000, "the first since it is not JSON"),
    ],
)
def test_a_file_whose_columns_cannot_be_told_is_refused_with_the_fix(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(UnreadableFile, match=re.escape(why)):
        columns(tmp_path / name, any_mapping(tmp_path))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (["a"], "user_id: ['a'] cannot be read as text"),
        ({"a": 1}, "user_id: {'a': 1} cannot be read as text"),
        (float("nan"), "user_id: nan cannot be read as text"),
        (b"\xff", "is not UTF-8"),
        ("\udce4", "is not UTF-8; save the file as UTF-8"),
    ],
)
def test_a_value_that_is_no_text_names_no_user(tmp_path: Path, value: Any, why: str) -> None:
    with pytest.raises(BadRow, match=re.escape(why)):
        Translator(any_mapping(tmp_path), NOW).translate(any_row(visitor=value))


def test_text_that_parquet_calls_binary_is_text(tmp_path: Path) -> None:
    found = Translator(any_mapping(tmp_path), NOW).translate(any_row(visitor="jürgen".encode()))

    assert found is not None
    assert found.key == "jürgen"


def test_a_file_of_which_no_row_makes_an_event_is_refused(csv_file: Path, mapping_file: Path, tmp_path: Path) -> None:
    csv_file.write_text(csv_file.read_text().splitlines()[0] + "\n")

    with pytest.raises(UnreadableFile, match="none of its 0 rows makes an event"):
        Replay(csv_file, Mapping.read(mapping_file), tmp_path).check_rows()


def test_a_list_of_objects_becomes_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text('{"who": 1, "clicks": [{"at": 1}, {"at": 2}]}\n{"who": 2, "clicks": "none"}\n')
    rows = list(read(path, any_mapping(tmp_path, explode="clicks")))

    assert [row.values for row in rows[:2]] == [{"who": 1, "at": 1}, {"who": 1, "at": 2}]
    assert rows[2].fault == "'clicks' is no list of objects"


def test_a_web_log_is_read_by_its_pages(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(
        'a.example - - [01/Aug/1995:00:00:01 -0400] "GET /shuttle.html HTTP/1.0" 200 1839\n'
        'a.example - - [01/Aug/1995:00:00:02 -0400] "GET /logo.GIF HTTP/1.0" 200 10\n'
        'b.example - - [01/Aug/1995:00:00:03 -0400] "GET /" 304 -\n'
        'b.example - - [01/Aug/1995:00:00:04 -0400] "POST /form HTTP/1.0" 200 10\n'
        'b.example - - [01/Aug/1995:00:00:05 -0400] "GET /gone HTTP/1.0" 404 -\n'
        "noise\n"
    )
    mapping = Mapping.read(MAPPINGS / "web_log.toml")
    account, rejects = Account(), (tmp_path / "rejects").open("w")
    events = list(translate(read(log, mapping), Translator(mapping, NOW), account, rejects))

    assert [json.loads(event.payload)["page"] for event in events] == ["/shuttle.html", "/"]
    assert events[0].event_time == datetime(1995, 8, 1, 4, 0, 1, tzinfo=timezone.utc)
    assert (account.rows, account.skipped, account.rejected) == (6, 3, 1)


@pytest.mark.parametrize("path", sorted(MAPPINGS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_mappings_that_we_ship_are_sound(path: Path) -> None:
    assert Mapping.read(path).rules


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "page_view"', 'name = "page_veiw"', "line 13, name: 'page_veiw' is no event; use one of add_to_cart"),
        ('country = "DE"\n', "", "line 12, country: page_view needs country; give each a column or a constant"),
        ('country = "DE"', 'country = "DE"\ncity = "Bonn"', "line 18, city: page_view knows no 'city'"),
        ('category = "all"', "category = {colum = 'x'}", "line 23, colum: category knows no 'colum'"),
        ('category = "all"', "category = {}", "line 23, category: takes either a column or a template"),
        ('zone = "Europe/Berlin"', 'zone = "Europe/Bern"', "line 7, zone: there is no time zone 'Europe/Bern'"),
        ('zone = "Europe/Berlin"', "", "line 6, format: '%d.%m.%Y %H:%M:%S' has no offset; add the zone"),
        ('"%d.%m.%Y %H:%M:%S"', '"unix"', "line 6, format: 'unix' is no time format; use rfc3339, epoch_s"),
        ('"look.*"', '"look(.*"', "line 21, matches: 'look(.*' is no regular expression"),
        ("[time]", "[tiem]", "line 4, tiem: a mapping knows no 'tiem'"),
        ("user_id = ", "user = ", "line 1, user: a mapping knows no 'user'"),
        ("[[skip]]", "[skip]", "skip: write each rule as [[skip]], with two brackets"),
        ('zone = "Europe/Berlin"', 'zone = "Europe"', "line 7, zone: there is no time zone 'Europe'"),
        ('zone = "Europe/Berlin"', "zone = 1", "line 7, zone: is 1; write text"),
        ('"%d.%m.%Y %H:%M:%S"', '"%d.%Q"', "line 6, format: '%d.%Q' is no time format: 'Q' is a bad directive"),
        ('"%d.%m.%Y %H:%M:%S"', "[]", "line 6, format: is []; write text"),
        ('country = "DE"', 'country = "Germany"', "country: 'Germany' keeps no contract; it takes text, exactly 2"),
        ('country = "DE"', "country = {column = 3}", "column: is 3; write text"),
        ('country = "DE"', 'country = {template = "{"}', "template: '{' is no template"),
        ('country = "DE"', 'country = {template = "{}"}', "template: '{}' names no column between braces"),
        ('country = "DE"', 'country = {column = "item", values = []}', "values: is []; write a table"),
        ('name = "page_view"', "name = []", "name: [] is no event; use one of"),
        ('ignore = ["referer"]', 'ignore = "agent"', "ignore: write a list of columns"),
        ("[time]", "file = 3\n[time]", "file: is 3; write a table: [file]"),
        ("[time]", '[file]\ndelimiter = "||"\n[time]', "delimiter: '||' is no delimiter; use one character"),
        ("[[skip]]", "[[skip]", "m.toml: Expected ']]' at the end of an array declaration (at line 9"),
    ],
)
def test_a_wrong_mapping_is_refused_with_its_line_and_the_fix(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in MAPPING

    with pytest.raises(InvalidMapping) as refusal:
        mapping_of(tmp_path, MAPPING.replace(old, new))

    assert said in str(refusal.value)


@pytest.mark.parametrize(
    ("present", "said"),
    [
        ({"visitor", "ts", "action", "item", "agent"}, "line 24: the file has no column 'cost'"),
        (
            {"visitor", "ts", "action", "item", "agent", "cost", "shoe_size"},
            "nothing uses the column(s) shoe_size: map them, or list them in 'ignore'",
        ),
    ],
)
def test_a_mapping_that_does_not_fit_the_file_is_refused(tmp_path: Path, present: set[str], said: str) -> None:
    with pytest.raises(InvalidMapping) as refusal:
        any_mapping(tmp_path).check_columns(present)

    assert said in str(refusal.value)


def test_nothing_is_sent_by_a_mapping_that_does_not_fit(
    csv_file: Path, mapping_file: Path, stream: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    mapping_file.write_text(MAPPING.replace('"cost"', '"prize"'))
    status = main([str(csv_file), "--mapping", str(mapping_file), "--stream", "clicks"])

    assert status == 2
    assert arrived(stream) == []
    assert "no column 'prize'" in capsys.readouterr().err


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_a_rule_must_give_every_required_field(event: Any, tmp_path: Path) -> None:
    bare = f'user_id = {{column = "u"}}\n[time]\ncolumn = "t"\nformat = "epoch_ms"\n[[event]]\nname = "{event.name}"\n'

    with pytest.raises(InvalidMapping, match=f"{event.name} needs "):
        mapping_of(tmp_path, bare)


@pytest.mark.parametrize(
    ("format_", "written"),
    [
        ("rfc3339", "2026-03-01T13:00:00.5+01:00"),
        ("epoch_s", "1772366400.5"),
        ("epoch_s", 1772366400.5),
        ("epoch_ms", 1772366400500),
        ("epoch_us", "1772366400500000"),
        ("%Y-%m-%d %H:%M:%S.%f", "2026-03-01 13:00:00.5"),
        ("rfc3339", datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=timezone.utc)),
        ("rfc3339", datetime(2026, 3, 1, 13, 0, 0, 500_000)),  # noqa: DTZ001  # Parquet has times without a zone
    ],
)
def test_a_time_is_read_in_each_way_of_writing_it(format_: str, written: Any, tmp_path: Path) -> None:
    clock = replace(any_mapping(tmp_path).clock, format=format_)

    assert read_time(written, clock) == datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=timezone.utc)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(timezone.utc)))  # noqa: DTZ001
def test_milliseconds_since_the_epoch_are_read_back_exactly(moment: datetime) -> None:
    clock = replace(Mapping.read(MAPPINGS / "otto.toml").clock)
    whole = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    ticks = (whole - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(milliseconds=1)

    assert read_time(ticks, clock) == read_time(str(ticks), clock) == whole


@given(
    st.dictionaries(
        st.sampled_from(["visitor", "ts", "action", "item", "agent", "cost"]),
        st.none()
        | st.text()
        | st.integers()
        | st.floats()
        | st.lists(st.integers())
        | st.sampled_from(["look", "open"]),
    )
)
def test_any_row_becomes_a_valid_event_or_is_refused_with_a_reason(values: dict[str, Any]) -> None:
    mapping = Mapping.read(MAPPINGS / "ecom.toml")
    clock = replace(mapping.clock, column="ts", format="epoch_s", zone=None)
    rules = tuple(replace(rule, when={}) for rule in mapping.rules if rule.event is not None)
    translator = Translator(replace(mapping, clock=clock, rules=rules[-1:]), NOW)
    try:
        event = translator.translate(Row(1, 0, {"user_id": "u", "platform": "mobile", "event": "home", **values}))
    except BadRow as refusal:
        assert str(refusal)
    else:
        assert event is not None
        assert check(event.payload, NOW).event == event.event


def test_events_move_by_whole_days_and_keep_their_names(
    csv_file: Path, mapping_file: Path, stream: Any, tmp_path: Path
) -> None:
    command = [str(csv_file), "--mapping", str(mapping_file), "--stream", "clicks", "--out", str(tmp_path / "out")]
    main(command)
    main([*command, "--until", "2026-02-20"])
    events = arrived(stream)

    assert events[2]["event_time"] == "2026-02-20T12:00:00Z"
    assert events[2]["event_id"] == events[0]["event_id"]


def test_the_last_day_becomes_the_day_asked_for() -> None:
    assert NOW + days_to(NOW, NOW.date() - timedelta(days=9)) == NOW - timedelta(days=9)


def test_a_replay_waits_as_long_as_its_speed_asks() -> None:
    now = [0.0]

    def wait(seconds: float) -> None:
        now[0] += seconds

    events = [any_event(0), any_event(600), any_event(300), any_event(1_200)]
    times = [now[0] for _ in paced(events, speed=60, clock=lambda: now[0], wait=wait)]
    fast = [now[0] for _ in paced(events, speed=float("inf"), clock=lambda: now[0], wait=wait)]

    assert times == [0.0, 10.0, 10.0, 20.0]
    assert fast == [20.0] * 4


@pytest.mark.parametrize("speed", ["0", "-1", "quick"])
def test_a_speed_that_is_none_is_refused(speed: str, csv_file: Path, mapping_file: Path) -> None:
    with pytest.raises(SystemExit):
        main([str(csv_file), "--mapping", str(mapping_file), "--stream", "clicks", "--speed", speed])


def test_a_stream_that_is_not_there_is_one_line(
    csv_file: Path, mapping_file: Path, stream: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ["--mapping", str(mapping_file), "--stream", "no-such-stream", "--out", str(tmp_path)]

    assert main([str(csv_file), *told]) == 2
    assert "no-such-stream" in capsys.readouterr().err.strip().splitlines()[-1]


def test_only_as_many_rows_as_asked_for_are_read(
    csv_file: Path, mapping_file: Path, stream: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--mapping", str(mapping_file), "--stream", "clicks", "--limit", "1", "--out", str(tmp_path)]
    main([str(csv_file), *arguments])

    assert len(arrived(stream)) == 1
    assert "1 rows = 1 sent" in capsys.readouterr().out


def test_the_last_day_is_known_before_anything_is_sent(csv_file: Path, mapping_file: Path, tmp_path: Path) -> None:
    replay = Replay(csv_file, Mapping.read(mapping_file), tmp_path)

    assert replay.last_day().isoformat() == "2026-03-01"
    assert len(list(replay.records())) == replay.account.sent.total() == 2
