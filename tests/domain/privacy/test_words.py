"""A person is found however their name is escaped, and not where it is a part of another's, a number or a word."""

from __future__ import annotations

import json
import subprocess
import sys
from urllib.parse import quote

import pytest

from domain.events import EVENTS
from domain.privacy import residue, words
from domain.schema import Privacy, Treatment
from domain.tables import TABLES

NAMES = [
    "u-1",
    "Jos\u00e9",
    "Ann Lee",
    "ann@example.net",
    'a"b',
    "a\\b",
    "a/b",
    "O'Neil",
    "tab\tx",
    "\u65e5\u672c",
    "\U0001f600x",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_found_however_it_is_escaped(name: str) -> None:
    record = {"user_id": name, "n": 1}
    texts = [
        json.dumps(record),
        json.dumps(record, ensure_ascii=False),
        json.dumps(record).replace("/", "\\/"),
        json.dumps({"body": json.dumps(record)}),
        '"x","{}"'.format(name.replace('"', '""')),
        "WHERE user_id = '{}'".format(name.replace("'", "''")),
        f"https://shop.example/?user={quote(name, safe='')}&n=1",
        f"by-user/user_id={quote(name, safe='')}/part-0",
    ]

    assert [text for text in texts if residue.found(text.encode(), [name]) != {name}] == []


@pytest.mark.parametrize(
    ("text", "name", "is_there"),
    [
        ("mail ann@example.net.", "ann@example.net", True),
        ("ann@example.net.au", "ann@example.net", False),
        ("said Ann Lee went", "Ann Lee", True),
        ("Ann Leeds", "Ann Lee", False),
        ("see u.1...", "u.1", True),
        ("u.1.2", "u.1", False),
        ('{"u":"Jos\u00e9"}', "Jos", False),
        ('{"u":"\u00e9os"}', "os", False),
        (json.dumps({"u": "Jos\u00e9"}), "Jos", False),
        (quote("user=Jos\u00e9"), "Jos", False),
        ('"Jos\u00e9"', "Jos\u00e9", True),
        ('{"bytes": 1234567}', "1234567", False),
        ('{"loss":1234567.5}', "1234567", False),
        ("[1,1234567,3]", "1234567", False),
        ('{"user_id":"1234567"}', "1234567", True),
        ("user 1234567 asked", "1234567", True),
        ("x-" + "n" * 45 + "m", "n" * 45, False),  # the dash is 45, as long as the name
    ],
)
def test_a_part_of_another_name_or_a_count_is_nobody(text: str, name: str, is_there: bool) -> None:
    assert bool(residue.found(text.encode(), [name])) is is_there


@pytest.mark.parametrize("nothing", ["", " "])
def test_what_stands_everywhere_is_found_nowhere(nothing: str) -> None:
    assert not words.is_telling(nothing)
    assert residue.found(b"", [""]) == residue.found(b'{"a": 1}', [""]) == set()


def test_words_that_the_platform_writes_tell_nobody() -> None:
    assert not [
        word
        for word in (*EVENTS, "user_id", "curated", "Mobile", "true", "rivermill-events", "10", "ab")
        if words.is_telling(word)
    ]
    assert all(map(words.is_telling, (*NAMES[:5], "12345678", "t1.AAAA")))


def test_what_names_a_category_is_short_and_says_nothing_of_one_person_alone() -> None:
    columns = [column for table in TABLES for column in table.columns if column.name in words.CATEGORIES]

    assert {column.name for column in columns} == set(words.CATEGORIES)
    assert {column.field.privacy for column in columns} <= {None, Privacy.PLAIN, Privacy.QUASI_IDENTIFIER}
    assert {column.field.treatment for column in columns} <= {Treatment.KEEP, Treatment.GENERALIZE}
    assert max(column.field.max_length or 0 for column in columns) <= 128
    assert not set(words.CATEGORIES) & {table.subject for table in TABLES}


@pytest.mark.slow
def test_what_runs_with_privacy_off_takes_no_cipher() -> None:
    """Their layers have no `cryptography` then."""
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "import domain.privacy.residue, domain.privacy.denial, lambdas.privacy.request, lambdas.privacy.erasure"
    )

    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).stderr == b""
