"""What the log says is in its one line, whatever a customer or a manager is called."""

import logging

import pytest

from mirt_sitniks.log import log, shown


def test_the_facts_are_in_the_line_and_in_the_record(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever reads only messages sees the session and the chat; odd values are quoted, what is None is left out."""
    log(logging.WARNING, "failed: %s", "so", session='a "b"\nforged=1', chat="6a22", code=None, n=3)
    (record,) = caplog.records
    assert record.getMessage() == r'sitniks: failed: so session="a \"b\"\nforged=1" chat=6a22 n=3'
    fields = {name: value for name, value in vars(record).items() if name.startswith("sitniks_")}
    assert fields == {
        "sitniks_session": 'a "b"\nforged=1',
        "sitniks_chat": "6a22",
        "sitniks_code": None,
        "sitniks_n": 3,
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Павло Ї", "Павло Ї"),
        ("Ола\x1b]0;x\x07", r"Ола\x1b]0;x\x07"),
        ("a\nERROR forged\r", r"a\nERROR forged\r"),
        ("\u202egnp\x9b\ud800", r"\u202egnp\x9b\ud800"),
        ("50 % знижки", "50 % знижки"),
    ],
)
def test_a_name_commands_no_terminal(text: str, line: str, caplog: pytest.LogCaptureFixture) -> None:
    """Control characters, line ends and what turns the direction of text are shown escaped."""
    assert shown(text) == line
    log(logging.WARNING, "assigned %s", text, name=text)
    message = caplog.records[0].getMessage()
    assert line in message
    assert message.isprintable()
