"""What the doctor says of a shop's stages and of the statuses that it has seen: pure."""

import pytest

from mirt_sitniks import SitniksSettings, StageRule
from mirt_sitniks.cli.doctor_findings import Finding
from mirt_sitniks.cli.doctor_stages import judge_stages

BUILT_IN = ("Взято в роботу", "Виставлено рахунок", "AI Увага")


def judged(status: str, *seen: str, replaces: tuple[str, ...] = ()) -> list[Finding]:
    """What is said of one stage of the shop's own, where all else is there."""
    settings = SitniksSettings(stages={"mine": StageRule(status, replaces=replaces)}, _env_file=None)
    return [one for one in judge_stages(settings, {*BUILT_IN, *seen}) if not one.ok]


def test_each_stage_stands_with_its_status() -> None:
    """By whether it was seen; of one that was not nothing is claimed, and others are shown, but those of new chats."""
    settings = SitniksSettings(stages={"paid": StageRule("ОПЛАЧЕНО", replaces=("Вибір товару",))}, _env_file=None)
    seen = {"Взято в роботу", "AI Увага", "Вибір товару", "Новый", "Хочу знижку"}
    assert list(judge_stages(settings, seen)) == [
        Finding(
            "Statuses",
            True,
            "2 of 4 were seen in this account: “Взято в роботу” (first_touch), “AI Увага” (escalation)",
        ),
        Finding("Statuses", None, "also seen, of no stage: “Хочу знижку”"),
        Finding(
            "Statuses",
            None,
            "not seen yet: “Виставлено рахунок” (give_requisites), “ОПЛАЧЕНО” (paid); the API cannot list them, so "
            "compare with Sitniks, letter by letter",
        ),
    ]


def test_an_account_with_many_statuses_fills_no_screen() -> None:
    """Twenty of them, and how many there are besides."""
    (finding,) = judged("s00", *(f"s{number:02}" for number in range(31)))
    assert finding.text.endswith("“s20” and 10 more")


@pytest.mark.parametrize(
    ("status", "other"),
    [
        ("відправлено", "Відправлено"),
        ("Пошта  Нова", "Пошта Нова"),
        ("Відправлено", "Відправлено".replace("о", "o")),
        ("SMS надіслано", "ЅМЅ надіслано".replace("Ѕ", "S")),
        ("Гарячий лід", "Гаря\u200bчий лід"),
        ("❤ Свої", "❤\ufe0f Свої"),
        ("Їде", "І\u0308де"),
    ],
)
def test_what_looks_the_same_is_a_mistake(status: str, other: str) -> None:
    """Letter case, spaces, letters of another alphabet, what cannot be seen: one line, and where to copy it to."""
    (finding,) = [one for one in judged(status, other) if "was not seen" in one.text]
    assert (finding.ok, finding.text) == (False, f"“{status}” (mine) was not seen, but “{other}” was")
    assert finding.cure == "write it as Sitniks does, in SITNIKS_STAGES"


@pytest.mark.parametrize("other", ["🔥 Гарячий лід", "Гарячий лід!", "Гарячий-лід"])
def test_other_signs_are_told_as_a_question(other: str) -> None:
    """Two statuses may differ by an emoji alone, so that is no mistake."""
    (finding,) = [one for one in judged("Гарячий лід", other) if "was not seen" in one.text]
    assert (finding.ok, finding.text) == (None, f"“Гарячий лід” (mine) was not seen, but “{other}” was")
    assert finding.cure == "if that is meant, copy it into SITNIKS_STAGES"


@pytest.mark.parametrize(("status", "other"), [("Оплачено", "Не оплачено"), ("🔥", "✅"), ("Новий", "Новый")])
def test_what_is_another_name_is_left_alone(status: str, other: str) -> None:
    """No guess: the status is not seen yet, and that is all."""
    *_, last = judged(status, other)
    assert last.text.startswith(f"not seen yet: “{status}” (mine)")


def test_what_a_stage_may_replace_is_looked_at_too() -> None:
    """A name there that no chat ever shows would replace nothing; one that was not seen is no news."""
    found = judged("ОПЛАЧЕНО", "ОПЛАЧЕНО", "Нова Пошта", replaces=("нова пошта",))
    (finding,) = [one for one in found if one.ok is False]
    assert finding.text == "“нова пошта” (mine.replaces) was not seen, but “Нова Пошта” was"
    assert judged("ОПЛАЧЕНО", "ОПЛАЧЕНО", replaces=("Чернетка",)) == []
