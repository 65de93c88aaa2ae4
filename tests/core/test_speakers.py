"""Whose a message is: the graph's own in whatever shape it comes back, and nobody else's words for the graph's."""

import html
import time
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.events import Message
from mirt_sitniks.core.marks import LONGEST, Marks, marks_of, unpack, words_of
from mirt_sitniks.core.speakers import Speaker, speaker_of
from mirt_sitniks.core.voices import DAY, ROOM, SHORTLY, TEXTS, Voices, after_said, joined

NOW = 1_800_000_000.0
CHAT = Chat("c1", "olena.example", user_id="u1", owner_id="p1")
PIECES = (
    "Доброго дня! Дякуємо за звернення 🌿",
    "Є сукня «Волошка» з м'якого льону: молочна, блакитна та оливкова, 980 грн.",
    "Найточніше підбирати за зростом: 98-104 на 3-4 роки, 110-116 на 5-6 років.",
    "Якщо дитина між двома розмірами, радимо більший.",
    "Відправляємо Новою поштою щодня до 16:00, доставка від 70 грн за тарифами перевізника.",
    "Оплатити можна на рахунок: ФОП Приклад П. П., IBAN UA000000000000000000000000000.",
    "Щойно оплата надійде, ми підтвердимо замовлення!",
    "Фото й заміри тут: https://shop.example/catalog/voloshka?utm_source=ig&id=7",
    "Так",
    "Підкажіть, будь ласка, на який зріст шукаєте?",
)


def said(*texts: str, at: float = NOW, before: Voices | None = None) -> Voices:
    """A session in which the graph said this."""
    return after_said(before or Voices(), [marks_of(words_of(text), at, "main") for text in texts], at)


def whose(text: str, voices: Voices, *, by: str = "p1", name: str = "", later: float = 1.0, chat: Chat = CHAT) -> str:
    """Who has written it, so much later than now; it is told at once."""
    message, at = Message("m", by, name or None, text), NOW + later
    return speaker_of(chat, message, words_of(text), voices, at=at, now=at, ai_manager="Павло", salt="main").value


texts = st.lists(st.sampled_from(PIECES), min_size=1, max_size=14).map("\n".join)


def cut(text: str, size: int, at_words: bool) -> list[str]:
    """A text as a channel splits it: at so many characters, or at the last space before."""
    pieces: list[str] = []
    while text:
        end = size
        if at_words and len(text) > size and (space := max(text.rfind(" ", 0, size), text.rfind("\n", 0, size))) > 0:
            end = space
        pieces, text = [*pieces, text[:end].strip()], text[end:].strip()
    return [one for one in pieces if one]


class TestOwn:
    @given(texts, st.sampled_from([500, 640, 1000, 2000, 4096]), st.booleans())
    @settings(derandomize=True, max_examples=60)
    def test_a_text_that_was_split(self, text: str, size: int, at_words: bool) -> None:
        """Every piece that a channel or a host makes of it is the graph's, the last few letters too."""
        voices = said(text)
        for piece in [*cut(text, size, at_words), *text.split("\n")]:
            assert not words_of(piece).whole or whose(piece, voices) == "graph", piece

    @given(texts, st.data())
    @settings(derandomize=True, max_examples=60)
    def test_a_text_that_was_reformatted(self, text: str, data: st.DataObject) -> None:
        """Markup, links, emoji, spaces, case, Unicode forms and a signature may come and go on the way."""
        ways: list[Callable[[str], str]] = [
            lambda one: f"**{one}**",
            lambda one: "\n".join(f"<b>{html.escape(line)}</b><br/>" for line in one.split("\n")),
            lambda one: one.replace("https://shop.example/catalog/voloshka?utm_source=ig&id=7", "shop.example"),
            lambda one: one.replace("https://shop.example/catalog/voloshka?utm_source=ig&id=7", "shop.example/cata…"),
            lambda one: one.replace("🌿", ""),
            lambda one: one.replace("🌿", "🌿\ufe0f❤️"),
            lambda one: unicodedata.normalize("NFD", one),
            lambda one: one.replace("'", "ʼ").replace("-", "–").replace("«", '"').replace("»", '"'),
            lambda one: one.replace(" ", "\u00a0\u200b"),
            lambda one: one.upper(),
            lambda one: f"{one}\n— Магазин «Приклад»",
            lambda one: "\n".join(f"{number}. {line}" for number, line in enumerate(one.split("\n"), 1)),
        ]
        voices = said(text)
        for way in data.draw(st.lists(st.sampled_from(ways), max_size=3, unique=True)):
            text = way(text)
        assert not words_of(text).whole or whose(text, voices) == "graph"

    @pytest.mark.parametrize(
        ("told", "heard"),
        [
            ("Дивіться [каталог](https://shop.example/c) сьогодні", "Дивіться каталог сьогодні"),
            ("Дивіться [каталог](https://shop.example/c)", "Дивіться каталог (https://shop.example/c)"),
            ('Дивіться <a href="https://shop.example/c">каталог</a> &amp; фото', "Дивіться каталог & фото"),
            ("Оплата: https://pay.example/сукня?x=1 дякуємо", "Оплата: pay.example дякуємо"),
            ("Так, є в наявності ☺️", "Так, є в наявності"),
            ("1. Сукня\n2. Костюм", "• Сукня\n• Костюм"),
            ("Сума: 1 150 грн", "Сума: 1\u00a0150 грн"),
            ("Рядок один\nРядок два", "Рядок один Рядок два"),
        ],
    )
    def test_what_a_channel_makes_of_it(self, told: str, heard: str) -> None:
        """Markdown and HTML are shown, links become previews, lists become dots."""
        assert whose(heard, said(told)) == "graph"

    def test_two_texts_come_as_one(self) -> None:
        """A channel that joins what was sent one after the other shows the graph's words all the same."""
        assert whose(f"{PIECES[1]}\n\n{PIECES[3]}", said(PIECES[3], PIECES[1])) == "graph"

    def test_whose_name_it_comes_under_is_no_matter(self) -> None:
        """A message of the API may carry the name of whoever made the key."""
        for name in ("", "Павло", "Олена"):
            assert whose(PIECES[1], said(PIECES[1]), name=name) == "graph"

    @pytest.mark.parametrize("text", ["Так", "Дякую!", "Добрий день"])
    def test_a_short_text_is_known_for_a_while(self, text: str) -> None:
        """Many people write so little: it is the graph's for ten minutes, as a whole alone."""
        voices = said(text)
        assert whose(text.upper(), voices, later=SHORTLY - 1) == "graph"
        assert whose(text, voices, later=SHORTLY + 1) == "phone"
        assert whose(f"{text} зараз гляну", voices) == "phone"

    def test_a_person_may_repeat_what_the_graph_said_yesterday(self) -> None:
        """For a day the text may still be on its way; whoever writes it by hand later is a person."""
        voices = said(PIECES[5])
        assert whose(PIECES[5], voices, later=DAY - 60) == "graph"
        assert (
            whose(PIECES[5], said("Ще щось довше за двадцять літер", at=NOW + DAY, before=voices), later=DAY + 60)
            == "phone"
        )

    @pytest.mark.parametrize("hour", [-1, 1])
    def test_row22_a_clock_that_is_an_hour_off(self, hour: int) -> None:
        """What has just come is compared with what was just said, whenever the CRM says it was written."""
        message = Message("m", "p1", None, "Так, є!")
        found = speaker_of(
            *(CHAT, message, words_of("Так, є!"), said("Так, є!")),
            at=NOW + 3600.0 * hour,
            now=NOW + 2,
            ai_manager="",
            salt="main",
        )
        assert found is Speaker.GRAPH


class TestOthers:
    @pytest.mark.parametrize(
        "text",
        [
            "Добрий день, це Олена, я вам зараз усе підкажу",
            "Сукня «Волошка» закінчилась, буде за тиждень. Записати вас?",
            "Відправили! ТТН 20450000000000, буде завтра",
            "Доброго дня! Дякуємо за звернення, але ця модель вже продана, можу запропонувати іншу",
            "980 грн, так. На який зріст вам треба, бо 110 лишилась одна?",
            "Найточніше буде, якщо скинете заміри: груди, талія, зріст, тоді підберемо з ІнстаКаталогу",
            "IBAN той самий, що вище, чекаємо на квитанцію, гарного вам дня",
        ],
    )
    def test_a_persons_text_is_a_persons(self, text: str) -> None:
        """Words of the trade that both use are no reason to take him for the graph."""
        voices = said(*PIECES)
        assert whose(text, voices) == "phone"
        assert whose(text, voices, name="Олена") == "manager"

    def test_few_persons_words_are_taken_for_the_graphs(self) -> None:
        """Sentences that begin as the graph's do and end otherwise are a person's."""
        voices = said(*PIECES)
        ends = (
            "лишилась одна",
            "буде у вівторок",
            "для вас зі знижкою",
            "вже в дорозі",
            "покажу на фото",
            "гляну на складі",
        )
        begins = (
            "Сукня «Волошка»",
            "Доброго дня! Так,",
            "За зростом 98-104",
            "Оплата",
            "Доставка від 70 грн",
            "Так. Розмір",
        )
        for begin in begins:
            for end in ends:
                assert whose(f"{begin} {end}", voices) == "phone", (begin, end)

    def test_the_customer_is_the_customer(self) -> None:
        """Also when he repeats the graph's words."""
        assert whose(PIECES[1], said(PIECES[1]), by="u1", name="Олена") == "customer"

    def test_where_the_graph_says_nothing_the_page_tells_nothing(self) -> None:
        """Without `said` a text of the page may be the graph's own."""
        assert whose(PIECES[1], Voices()) == "nobody"
        assert whose(PIECES[1], Voices(), name="Олена") == "manager"

    def test_what_is_older_than_what_is_known_tells_nothing(self) -> None:
        """Told again late, from before the graph said anything, or from longer ago than a day: it may be its own."""
        assert whose("Це писали ще до бота, ще вранці", said(PIECES[1]), later=-5.0) == "nobody"
        late = Message("m", "p1", None, "Це було ще позавчора ввечері")
        words = words_of(late.text)
        assert (
            speaker_of(CHAT, late, words, said(PIECES[1]), at=NOW + 1, now=NOW + DAY + 2, ai_manager="", salt="main")
            is Speaker.NOBODY
        )

    @pytest.mark.parametrize("text", ["", "🌿", "https://shop.example/c", "👍🏽 ❤️", "..."])
    def test_what_has_no_words_tells_nothing(self, text: str) -> None:
        """A photo, a sticker, a link: the graph sends them as well, and nobody can tell."""
        assert whose(text, said(PIECES[1])) == "nobody"
        assert whose(text, said(PIECES[1]), name="Павло") == "graph"

    def test_a_name_that_the_graphs_words_came_under_is_its_own(self) -> None:
        """A photo under the key's name is no person's, its other words are."""
        voices = Voices(said(PIECES[1]).said, NOW, name="олена")
        assert whose("", voices, name="Олена") == "graph"
        assert whose("Я сама вам відповім, хвилинку", voices, name="Олена") == "manager"
        assert whose("", voices, name="Марко") == "manager"

    def test_the_ai_managers_words_are_the_graphs_until_it_says_what_it_says(self) -> None:
        """Without `said` what comes under his name is the key's; with it, somebody writes in his place."""
        assert whose("Вітаю, що шукаєте?", Voices(), name="павло") == "graph"
        assert whose("Вітаю, що шукаєте?", said(PIECES[1]), name="павло") == "manager"

    @pytest.mark.parametrize(
        ("chat", "by"), [(Chat("c1"), "x"), (Chat("c1", user_id="u1", owner_id="p1"), "x"), (CHAT, None)]
    )
    def test_who_is_not_known_to_be_the_page_is_nobody(self, chat: Chat, by: str | None) -> None:
        """Somebody's message in a chat whose customer is not known may be the customer's."""
        message = Message("m", by, None, "Привіт усім, як справи?")
        words = words_of(message.text)
        found = speaker_of(chat, message, words, said(PIECES[1]), at=NOW + 1, now=NOW + 1, ai_manager="", salt="main")
        assert found is Speaker.NOBODY


class TestKept:
    def test_no_text_is_kept(self) -> None:
        """Four bytes of a hash for a sentence and for each sixteen letters; other accounts have others."""
        marks = said(PIECES[1]).said[0]
        assert all(len(one) == 4 for one in unpack(marks.exact) + unpack(marks.blocks))
        assert "Волошка" not in repr(marks)
        assert marks_of(words_of(PIECES[1]), NOW, "other").exact != marks.exact

    def test_a_session_keeps_little(self) -> None:
        """Twenty texts in eight kilobytes, the newest; the rest counts as unknown, and what is a day old goes."""
        voices = Voices()
        for number in range(60):
            voices = said(f"{number}: {PIECES[number % 7]}" * 9, at=NOW + number, before=voices)
        assert len(voices.said) <= TEXTS
        assert sum(len(one.exact) + len(one.blocks) for one in voices.said) <= ROOM
        assert (voices.said[-1].at, voices.since) == (NOW + 59, voices.said[0].at)
        assert len(said("ще", at=NOW + DAY + 120, before=voices).said) == 1

    def test_a_text_is_kept_once(self) -> None:
        """A node that runs again at once says the same. Said again later, both may still come back, also told late."""
        voices = said(PIECES[8], at=NOW + 5, before=said(PIECES[8]))
        assert [one.at for one in voices.said] == [NOW]
        voices = said(PIECES[8], at=NOW + 700, before=voices)
        assert [one.at for one in voices.said] == [NOW, NOW + 700]
        message, words = Message("m", "p1", None, PIECES[8]), words_of(PIECES[8])
        found = speaker_of(CHAT, message, words, voices, at=NOW + 1, now=NOW + 5000, ai_manager="", salt="main")
        assert found is Speaker.GRAPH

    def test_a_chat_passes_on_what_was_said_in_it(self) -> None:
        """The session that takes a chat over knows the words of the one before."""
        both = joined(said(PIECES[0]), said(PIECES[1], at=NOW + 5))
        assert {whose(one, both, later=6.0) for one in PIECES[:2]} == {"graph"}
        assert joined(Voices(), Voices()) == Voices()

    def test_any_text_can_be_said(self) -> None:
        """However long and odd it is, and its pieces are known as far as it is looked at."""
        odd = (*(one * LONGEST for one in ("<", "a", "a/", "\n", "a.", "?", "=&", "&", "//")), "\ud800\0", "&#x110000;")
        began = time.process_time()
        for text in odd:
            words = words_of(text)
            assert isinstance(marks_of(words, NOW, "main"), Marks)
        assert time.process_time() - began < 5
