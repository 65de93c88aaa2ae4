"""A shop's own stages as text: what is taken, and what is told of a table that cannot be right."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirt_sitniks.core.stage_table import parse_stages, stages_of
from mirt_sitniks.core.stages import BUILT_IN, Stage, StageRule, parse_stage

PAID = StageRule("ОПЛАЧЕНО", "human", "first", once=True, respects_people=False, replaces=("Виставлено рахунок",))
TOML = """
[paid]
status = " ОПЛАЧЕНО "
assign = "human"
urgency = "first"
once = true
respects_people = false
replaces = ["Виставлено рахунок"]
"""


def test_toml_and_json_say_the_same() -> None:
    """Every field of a stage can be said in either form; what is not said has its default."""
    table = {"paid": {"status": "ОПЛАЧЕНО", "assign": "human", "urgency": "first", "once": True}}
    more = {"respects_people": False, "replaces": ["Виставлено рахунок"]}
    assert parse_stages(TOML) == parse_stages(json.dumps({"paid": table["paid"] | more})) == {"paid": PAID}
    assert parse_stages('{"paid": {"status": "ОПЛАЧЕНО", "assign": null}}') == {"paid": StageRule("ОПЛАЧЕНО")}
    assert stages_of({"paid": PAID}) == {"paid": PAID}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "it is no JSON, line 1: correct it there"),
        ("[paid]\nstatus = ОПЛАЧЕНО", 'it is no TOML, line 2: correct it there, texts stand in "straight quotes"'),
        ("[paid]\nstatus = “ОПЛАЧЕНО”", "it is no TOML, line 2: correct it there"),
        ('[Оплачено]\nstatus = "a"', "it is no TOML, line 1: correct it there"),
        ('[paid]\nreplaces = ["a",', "it is no TOML, at its end: correct it there"),
        ('[paid]\nstatus = "a"\n[paid]\nstatus = "b"', "it says something twice, line 3: keep one of the two"),
        ('[paid]\nstatus = "a"\nstatus = "b"', "it says something twice, at its end: keep one"),
        ('paid = {status = "a", status = "b"}', "it says something twice, line 1: keep one"),
        ('{"paid": {"status": "a"}, "paid": {"status": "b"}}', "it says something twice: keep one"),
        ('{"paid": {"status": "a", "status": "b"}}', "it says something twice: keep one"),
        ("[]", "give a table of stages, like"),
        ('[{"paid": {"status": "a"}}]', "give a table of stages, like"),
        ('[[paid]]\nstatus = "a"', "paid is no table: give at least its status"),
        ('[stages.paid]\nstatus = "a"', "stages.paid is nothing a stage has: use status, assign"),
        ('["order placed"]\nstatus = "a"', "'order placed' is no name: a stage's name is made of a-z"),
        ('status = "a"', "status is no table: give at least its status"),
        pytest.param("#" * 1_000_000, "it has 1 MB or more: give a file that has nothing but stages", id="1 MB"),
        ('{"Paid": {"status": "a"}}', "'Paid' is no name: a stage's name is made of a-z"),
        ('{"unknown_stage": {"status": "a"}}', "'unknown_stage' is no name"),
        ('{"paid": "ОПЛАЧЕНО"}', "paid is no table: give at least its status"),
        ('{"paid": {}}', "paid.status is missing: give the name of a status as Sitniks shows it"),
        ('{"paid": {"status": " "}}', "paid.status cannot be right: give the name of a status"),
        (json.dumps({"paid": {"status": "a" * 201}}), "paid.status cannot be right: give the name of a status"),
        ('{"paid": {"status": "a\\nb"}}', "paid.status cannot be right: give the name of a status"),
        ('{"paid": {"status": 5}}', "paid.status cannot be right: give the name of a status"),
        ('{"paid": {"status": "a", "replace": ["b"]}}', "paid.replace is nothing a stage has: use replaces"),
        ('{"paid": {"status": "a", "\x85": "b"}}', "paid.'\\x85' is nothing a stage has: use status, assign"),
        ('{"paid": {"status": "a", "replaces": "b"}}', "paid.replaces cannot be right: give a list of names"),
        ('{"paid": {"status": "a", "replaces": [""]}}', "paid.replaces cannot be right: give a list of names"),
        ('{"paid": {"status": "a", "assign": "bot"}}', "paid.assign cannot be right: give ai or human"),
        ('{"paid": {"status": "a", "assign": "Олена"}}', "paid.assign cannot be right: give ai or human"),
        ('{"paid": {"status": "a", "urgency": "high"}}', "paid.urgency cannot be right: give first, normal, last"),
        ('{"paid": {"status": "a", "once": 1}}', "paid.once cannot be right: give true or false"),
        (json.dumps({f"s{n}": {"status": "a"} for n in range(101)}), "give at most 100 stages"),
        ("[" * 100_000, "it is no TOML"),
        ("{" * 100_000, "it is no JSON"),
    ],
)
def test_what_cannot_be_right_is_told_by_its_key(text: str, told: str) -> None:
    """One line: which key of which stage, and the cure; no value, for a secret may stand in the wrong place."""
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        parse_stages(text)
    assert str(caught.value).startswith(told)


@contextmanager
def refused() -> Iterator[None]:
    """What is refused is so in one line, by a plain `ValueError`."""
    told = None
    try:
        yield
    except ValueError as error:
        told = error
    assert told is None or (type(told), len(str(told).splitlines())) == (ValueError, 1)


@given(st.one_of(st.text(), st.text().map("{".__add__), st.binary().map(lambda one: one.decode("latin-1"))))
def test_any_text_is_stages_or_one_line(text: str) -> None:
    """Nothing else ever comes out."""
    with refused():
        assert all(isinstance(one, StageRule) for one in parse_stages(text).values())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
)
FIELDS = st.sampled_from(["status", "assign", "urgency", "once", "respects_people", "replaces", "other"])


@given(st.dictionaries(st.sampled_from(["paid", "Paid", "a b"]), st.dictionaries(FIELDS, JSON, max_size=5) | JSON))
def test_any_table_is_stages_or_one_line(table: dict[str, object]) -> None:
    """Values of any shape are taken or told; a taken one has the types of a stage."""
    with refused():
        for one in stages_of(table).values():
            assert all(isinstance(name, str) for name in (one.status, *one.replaces))
            assert (type(one.once), type(one.respects_people)) == (bool, bool)
            assert one.priority_seconds >= 0


def test_a_name_is_read_as_people_write_it() -> None:
    """Letter case, `-` and spaces are forgiven for a shop's own stages as for the built-in ones, which are `Stage`."""
    mine = {**BUILT_IN, "order_created": StageRule("Оформлено замовлення")}
    assert parse_stage(" Order-Created ", mine) == "order_created"
    assert parse_stage("order created") is None
    assert parse_stage("ESCALATION", mine) is Stage.ESCALATION
    assert parse_stage("give_requisits", mine) is Stage.GIVE_REQUISITES
    assert parse_stage("escalation", {"paid": PAID}) is None


@pytest.mark.parametrize("name", ["give_requisits", "paid__late", "paid_"])
def test_each_name_that_a_table_may_have_is_that_stage(name: str) -> None:
    """Also one that would be read as another, or as none, were it how a person spells it."""
    assert parse_stage(name, {**BUILT_IN, **stages_of({name: PAID})}) == name
