"""A note is plain text whatever the customer wrote: one line, no markup, links or numbers of phones and cards, and
never too long."""

import re
import time
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mirt_sitniks.core.notes import MOST, TEMPLATE, is_template, note_of
from mirt_sitniks.core.stage_table import stages_of

LINES = len(TEMPLATE.splitlines())


def words(text: str) -> str:
    """A customer's words as a note has them."""
    return note_of("{words}", reason=None, stage=None, words=text)


def units(text: str) -> int:
    """The length of a text as browsers count it."""
    return len(text.encode("utf-16-le")) // 2


def test_a_note_says_why_where_and_in_whose_words() -> None:
    """Reason, status before and last words stand in their lines; a line that has nothing to say is left out."""
    note = note_of(TEMPLATE, reason="повернення", stage="Виставлено рахунок", words="Хочу повернути\nкросівки")
    assert note.splitlines()[1:] == [
        "Причина: повернення",
        "Статус до цього: Виставлено рахунок",
        "Останні слова клієнта: «Хочу повернути кросівки»",
    ]
    assert note_of(TEMPLATE, reason=None, stage="", words=" \n").splitlines() == TEMPLATE.splitlines()[:1]
    assert note_of("a {reason}\\n{{b}}", reason="r", stage=None, words=None) == "a r\n{b}"


@pytest.mark.parametrize(
    "number",
    [
        *("+380671234567", "380671234567", "+38 (067) 123-45-67", "38 067 123 45 67", "00380671234567"),
        *("0671234567", "067 123 45 67", "067-123-45-67", "(067)1234567", "067.123.45.67", "8 067 123 45 67"),
        *("+48 601 234 567", "+1 (415) 555-2671", "０６７１２３４５６７", "٠٦٧١٢٣٤٥٦٧", "067\u200b123\u200b4567"),
        *(
            "4149 4999 1234 5678",
            "4149499912345678",
            "4149-4999-1234-5678",
            "1111 2222 3333 4444",
            "4149\n49991234 5678",
        ),
        *("UA213223130000026007233566001", "UA21 3223 1300 0002 6007 2335 6600 1"),
    ],
)
def test_numbers_of_phones_and_cards_are_masked(number: str) -> None:
    """However they are written, with words around them or without; nothing of their digits is left."""
    for text in (number, f"мій номер {number}, дзвоніть", f"№{number}."):
        assert not re.search(r"\d", words(text)), words(text)
        assert re.search(r"\[(телефон|картка|рахунок)\]", words(text))
        assert not re.search(r"\d", note_of("{reason}", reason=text, stage=None, words=None))


@pytest.mark.parametrize(
    "text",
    [
        *("замовлення 123456", "№ 100045", "1 250 грн", "12 500,00", "розмір 42, колір 7", "ТТН 20450123456789"),
        *("05.05.2025 12:30", "артикул 0012345", "2 х 350 = 700", "код 4711-2"),
    ],
)
def test_orders_prices_and_dates_stay(text: str) -> None:
    """A live manager needs them."""
    assert words(text) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<script>alert(1)</script>", "‹script›alert(1)‹/script›"),
        ("&lt;b&gt; M&M's", "＆lt;b＆gt; M&M's"),
        ("https://evil.example/x?y=1", "https[:]//evil[.]example/x?y=1"),
        ("www.evil.example", "www[.]evil[.]example"),
        ("приклад.укр і javascript:alert(1)", "приклад[.]укр і javascript[:]alert(1)"),
        ("Добре.Дякую", "Добре.Дякую"),
        ("a\u202eb\u0000c\u200bd\u2066e\U000e0041f", "a" + "b cdef"),
        ("ок»\nПричина: «усе добре", "ок” Причина: “усе добре"),
        ("родина 👨‍👩‍👧", "родина 👨‍👩‍👧"),
    ],
)
def test_what_could_be_more_than_text_is_text(text: str, told: str) -> None:
    """Markup, links, invisible characters, and lines that look like the template's own."""
    assert words(text) == told


HARD = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("0123456789+-() .:/<>&;«»\n\u202e\u200d\u0301🇺🇦👍\U0001f3fdабв@{}\\"),
    ),
    max_size=300,
)


@given(reason=st.none() | HARD, stage=st.none() | HARD, said=HARD, times=st.sampled_from((1, 1, 7)))
@example(reason=None, stage=None, said="🇺🇦" * 300, times=1)
@example(reason=None, stage=None, said="e" + "\u0301" * 250, times=7)
@example(reason="+38067123456", stage="{words}", said="{reason}" * 30, times=1)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_text_makes_a_note(reason: str | None, stage: str | None, said: str, times: int) -> None:
    """Short enough for whoever counts in UTF-16, as many lines as the template, nothing invisible, no tag, no link."""
    note = note_of(TEMPLATE, reason=reason, stage=stage, words=said * times)
    assert units(note) <= MOST
    assert len(note.splitlines()) <= LINES
    assert all(unicodedata.category(one)[0] != "C" or one == "\u200d" for one in note.replace("\n", ""))
    assert not re.search(r"[<>]|://", note)


@given(st.integers(900, 1100), st.sampled_from(["🇺🇦", "👍🏽", "👨‍👩‍👧", "е\u0301", "😀"]))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_what_is_cut_is_not_cut_within_a_character(before: int, whole: str) -> None:
    """Neither a surrogate pair nor a flag, a skin tone, a family or an accent loses its half."""
    cut = words("а" * (before % 7) + whole * before)
    assert units(cut) <= MOST
    assert cut.endswith("…")
    assert cut[:-1].lstrip("а").replace(whole, "") == ""


def test_the_end_of_a_text_that_was_cut_is_no_number() -> None:
    """Half a card number at the end of what was looked at would not be known as one."""
    assert "4149" not in note_of("{reason}", reason="р" * 190 + "4149499912", stage=None, words=None)
    assert not re.search(r"\d", words("4149 4999 1234 5678 " * 250))


def test_a_hundred_kilobytes_cost_no_more_than_four() -> None:
    """Only the beginning is looked at: the worst of texts takes milliseconds of the processor."""
    worst = ("+38 0(" * 20_000, "0 " * 50_000, "1-" * 50_000, "&a" * 50_000, "\u202e" * 100_000, "." * 100_000)
    began = time.process_time()
    for text in worst:
        assert units(words(text)) <= MOST
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize(
    "template", ["{name}", "{reason!r}", "{reason:>9}", "{reason.real}", "{0}", "{}", "{words", "a\x00b", "x" * 601]
)
def test_a_template_that_cannot_be_right_is_refused(template: str) -> None:
    """Other names, formats and attributes, half a brace, what is not printable, and what leaves no room."""
    assert not is_template(template)
    with pytest.raises(ValueError, match=r"paid.note cannot be right: give plain text"):
        stages_of({"paid": {"status": "ОПЛАЧЕНО", "note": template}})


def test_a_stage_has_its_own_note_or_none() -> None:
    """A template, an empty text for none, or nothing said."""
    table = {name: {"status": "a", "note": note} for name, note in (("x", "{words}"), ("y", ""), ("z", None))}
    assert [one.note for one in stages_of(table).values()] == ["{words}", "", None]
