from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.schema import Column
from domain.serve.request import ROWS_MAX, InvalidRequest, check, read
from domain.tables import PROPENSITY_FEATURES

REQUIRED = [column for column in PROPENSITY_FEATURES if column.required]
OPTIONAL = [column for column in PROPENSITY_FEATURES if not column.required]
NUMBERS = [column for column in PROPENSITY_FEATURES if column.kind is not str]


def any_row(**changes: Any) -> dict[str, Any]:
    row = {column.name: {int: 1, float: 1.5, str: "DE"}[column.kind] for column in PROPENSITY_FEATURES}
    return {**row, "device": "mobile", **changes}


def fault(body: object) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as raised:
        read(body if isinstance(body, (str, bytes)) else json.dumps(body))
    return raised.value


def valid_values(column: Column) -> st.SearchStrategy[Any]:
    if column.field.choices:
        values: st.SearchStrategy[Any] = st.sampled_from(column.field.choices)
    elif column.kind is str:
        values = st.text(min_size=column.field.min_length or 0, max_size=column.field.max_length)
    elif column.kind is int:
        top = column.field.maximum
        values = st.integers(int(column.field.minimum or 0), 2**63 - 1 if top is None else int(top))
    else:
        values = st.floats(0, 1e12)
    return values if column.required else st.none() | values


@given(st.fixed_dictionaries({column.name: valid_values(column) for column in PROPENSITY_FEATURES}))
def test_whatever_keeps_the_declared_contract_is_taken_as_it_is(row: Any) -> None:
    assert read(json.dumps({"instances": [row]})) == [row]


@pytest.mark.parametrize("column", OPTIONAL, ids=lambda column: column.name)
def test_an_optional_feature_may_be_left_out_or_null(column: Column) -> None:
    without = {name: value for name, value in any_row().items() if name != column.name}

    assert check([without]) == check([{**without, column.name: None}]) == [{**any_row(), column.name: None}]


@pytest.mark.parametrize("column", REQUIRED, ids=lambda column: column.name)
def test_a_required_feature_that_is_missing_or_null_is_named(column: Column) -> None:
    without = {name: value for name, value in any_row().items() if name != column.name}

    for row in (without, {**without, column.name: None}):
        found = fault({"instances": [any_row(), row]})
        assert (found.error, found.field, found.status) == ("is missing", f"instances[1].{column.name}", 400)


@pytest.mark.parametrize("column", PROPENSITY_FEATURES, ids=lambda column: column.name)
def test_a_feature_of_another_type_is_named_with_its_value(column: Column) -> None:
    for value in ([1], {"a": 1}, True, "1" if column.kind is not str else 1):
        found = fault({"instances": [any_row(**{column.name: value})]})
        assert (found.error, found.field, found.value) == (
            "has the wrong type",
            f"instances[0].{column.name}",
            value,
        )


@pytest.mark.parametrize("column", NUMBERS, ids=lambda column: column.name)
def test_a_number_below_its_minimum_is_refused(column: Column) -> None:
    found = fault({"instances": [any_row(**{column.name: -1})]})

    assert (found.error, found.field, found.fix) == (
        "is below 0",
        f"instances[0].{column.name}",
        "send at least 0",
    )


@pytest.mark.parametrize(("name", "top"), [("hour", 23), ("weekday", 6)])
def test_a_number_above_its_maximum_is_refused(name: str, top: int) -> None:
    assert fault({"instances": [any_row(**{name: top + 1})]}).error == f"is above {top}"


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 400])
def test_a_number_that_is_not_finite_or_beyond_all_bounds_is_refused(text: str) -> None:
    body = json.dumps({"instances": [any_row(elapsed="here")]}).replace('"here"', text)

    found = fault(body)

    assert found.field == "instances[0].elapsed"
    assert json.loads(json.dumps(found.body(), allow_nan=False))["value"] is not None


def test_a_count_beyond_what_the_lake_holds_is_refused() -> None:
    assert fault({"instances": [any_row(carts=2**63)]}).error == "has the wrong type"


def test_a_fraction_is_no_whole_number() -> None:
    assert fault({"instances": [any_row(carts=1.5)]}).fix == "send a whole number"


def test_a_device_that_is_not_declared_is_refused_with_those_that_are() -> None:
    found = fault({"instances": [any_row(device="fridge")]})

    assert found.fix == "send one of desktop, mobile, tablet"


def test_a_country_longer_than_its_code_is_refused() -> None:
    assert fault({"instances": [any_row(country="DEU")]}).error == "is longer than 2"


@pytest.mark.parametrize("country", ["", "D"])
def test_a_country_shorter_than_its_code_is_refused(country: str) -> None:
    assert fault({"instances": [any_row(country=country)]}).fix == "send at least 2 characters"


def test_an_unknown_feature_is_named() -> None:
    found = fault({"instances": [any_row(shoe_size=43)]})

    assert (found.error, found.field, found.value) == ("is no feature", "instances[0].shoe_size", 43)


@pytest.mark.parametrize("body", ["", "{", b"\xff\xfe", "nonsense", "[" * 100_000])
def test_what_is_not_json_is_refused(body: Any) -> None:
    assert fault(body).error == "is not JSON"


@pytest.mark.parametrize("body", [[], 1, None, {}, {"rows": []}, {"instances": [], "more": 1}])
def test_json_of_another_shape_is_refused(body: Any) -> None:
    assert fault(body).error == "is not a request"


@pytest.mark.parametrize("depth", [3, 300, 900])
def test_a_value_however_deep_is_refused_with_an_answer(depth: int) -> None:
    found = fault('{"instances": ' + "[" * depth + "]" * depth + "}")

    assert len(json.dumps(found.body())) < 1_000


@pytest.mark.parametrize("instances", [[], None, {}, "text"])
def test_no_rows_are_refused(instances: Any) -> None:
    assert fault({"instances": instances}).field == "instances"


def test_a_row_that_is_no_object_is_refused() -> None:
    assert fault({"instances": [any_row(), 7]}).field == "instances[1]"


def test_too_many_rows_are_refused_as_too_large() -> None:
    with pytest.raises(InvalidRequest) as raised:
        check([any_row()] * (ROWS_MAX + 1), ROWS_MAX)

    assert (raised.value.status, raised.value.value) == (413, 1_001)
    assert len(check([any_row()] * ROWS_MAX, ROWS_MAX)) == ROWS_MAX


def test_a_refusal_shows_no_more_than_256_characters_of_the_value() -> None:
    shown = fault({"instances": [any_row(country="x" * 10_000)]}).body()

    assert len(shown["value"]) == 256
    assert set(shown) == {"error", "field", "value", "fix"}


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
@pytest.mark.slow
def test_any_json_at_all_is_taken_or_refused_and_nothing_else_happens(body: Any) -> None:
    with pytest.raises(InvalidRequest):
        read(json.dumps({"instances": body}))
