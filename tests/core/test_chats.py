"""Which chat belongs to a customer: how names are compared, whose a chat is, and which chats are read for it."""

from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirt_sitniks.core.chats import Chat, choose, finished, next_scan, normalise_username

AMBIGUOUS = "ambiguous"


def found(contacts: Iterable[Chat], instagram: str | None = None, telegram: str | None = None) -> str | None:
    """The id of the chat that is chosen, None, or `AMBIGUOUS`."""
    chosen = choose(contacts, instagram=instagram, telegram=telegram)
    return chosen.id if isinstance(chosen, Chat) else (AMBIGUOUS if chosen else None)


def of(chat: str, name: str | None, source: str | None, user: str | None = None, last: str | None = None) -> Chat:
    return Chat(chat, name, source, user or chat, last)


class TestRow13Row27:
    """Two chats with one name."""

    def test_row27_the_channel_must_fit(self) -> None:
        """Olena of Instagram and Olena of Telegram are two people."""
        both = [of("ig", "olena", "instagram"), of("tg", "olena", "telegram_bot")]
        assert found(both, instagram="olena") == "ig"
        assert found(both, telegram="olena") == "tg"
        assert found(both[:1], telegram="olena") is None

    def test_row13_several_chats_of_one_person_mean_the_newest(self) -> None:
        """The customer writes where she wrote last."""
        chats = [of("old", "olena", "instagram", "u", "2026-01-01"), of("new", "olena", "instagram", "u", "2026-02-01")]
        assert found(chats, instagram="olena") == "new"

    def test_row13_different_people_are_nobody(self) -> None:
        """Nothing may be written to either."""
        assert found([of("1", "o", "instagram"), of("2", "o", "instagram")], instagram="o") == AMBIGUOUS

    def test_row13_an_unknown_source_counts_only_when_nothing_else_fits(self) -> None:
        """It is no proof of the channel, and neither of the opposite."""
        unknown = of("?", "olena", None)
        assert found([unknown], instagram="olena") == "?"
        assert found([unknown, of("ig", "olena", "instagram")], instagram="olena") == "ig"

    def test_row27_a_customer_with_both_names_has_the_newest_chat_of_the_two(self) -> None:
        """Both names are hers, so both chats are."""
        chats = [of("ig", "a", "instagram", last="2026-01-01"), of("tg", "b", "telegram", last="2026-02-01")]
        assert found(chats, instagram="a", telegram="b") == "tg"

    def test_row27_another_sessions_chat_is_the_last_resort(self) -> None:
        """It is known by that session's name only; what the CRM itself shows goes first."""
        own = Chat("mine", "olena", "instagram", own=True)
        assert found([own], instagram="olena") == "mine"
        assert found([own, of("ig", "olena", "instagram")], instagram="olena") == "ig"

    @given(
        st.lists(
            st.builds(
                Chat,
                st.text("abc", min_size=1, max_size=2),
                st.sampled_from([None, "olena", "ira"]),
                st.sampled_from([None, "", "instagram", "telegram_bot", "facebook"]),
                st.sampled_from([None, "u1", "u2"]),
            ),
            max_size=6,
            unique_by=lambda chat: chat.id,
        )
    )
    def test_row13_never_another_persons_chat(self, contacts: list[Chat]) -> None:
        """Whatever the directory holds: the name is the customer's, and the source is not another channel."""
        chosen = choose(contacts, instagram="olena", telegram=None)
        if isinstance(chosen, Chat):
            assert chosen.nickname == "olena"
            assert chosen.source in (None, "", "instagram")
            rivals = {
                one.user_id or one.id for one in contacts if one.nickname == "olena" and one.source == chosen.source
            }
            assert len(rivals) == 1


class TestRow12:
    """Windows and pages."""

    def window(self, attempt: int) -> float:
        scan = next_scan([(attempt, 1e9)], token=1, now=0.0, wall=1e9, lookback=300.0)
        assert scan
        return 1e9 - scan.since

    def test_row36_the_look_back_for_half_an_hour_then_30_days_once(self) -> None:
        """A returning customer's chat may be old by whichever date the API filters; what moved meanwhile is new."""
        windows = [self.window(attempt) for attempt in range(13)]
        assert windows == [*[300.0] * 10, 30 * 86_400.0, 300.0, 300.0]

    def test_row12_one_scan_serves_everybody_who_waits(self) -> None:
        """It begins where the oldest needs it, and ends in the future: a slow clock here hides no chat."""
        waiting = [(1, 1e9), (0, 1e9), (0, 1e9 - 5000.0)]
        scan = next_scan(waiting, token=7, now=0.0, wall=1e9, lookback=300.0)
        assert scan
        assert (scan.since, scan.window, scan.token) == (1e9 - 5300.0, 0, 7)
        assert scan.until > 1e9
        assert next_scan([], token=1, now=0.0, wall=0.0, lookback=0.0) is None

    def test_row36_thirty_days_are_read_when_nobody_waits_for_the_look_back(self) -> None:
        """They go behind all other work."""
        scan = next_scan([(10, 1e9 - 1800.0), (0, 1e9)], token=1, now=0.0, wall=1e9, lookback=300.0)
        assert scan
        assert (scan.since, scan.window) == (1e9 - 300.0, 0)

    @pytest.mark.parametrize(
        ("read", "raw", "total", "over"),
        [(50, 50, 120, False), (120, 20, 120, True), (50, 50, None, False), (31, 31, None, True), (0, 0, 99, True)],
    )
    def test_row12_all_pages_are_read(self, read: int, raw: int, total: int | None, over: bool) -> None:
        """To the count that the CRM gives, else to a page that is not full."""
        assert finished(read, raw, total) is over

    @pytest.mark.parametrize("total", [0, 1, 10, None])
    def test_row12_a_count_that_is_wrong_or_the_pages_own_ends_no_list(self, total: int | None) -> None:
        """Nor does a page that is smaller than was asked for; a rest of such a page, or an empty one, does."""
        assert not finished(10, 10, total)
        assert not finished(20, 10, total)
        assert finished(23, 3, total)
        assert finished(20, 0, total)

    def test_row12_ten_pages_are_enough(self) -> None:
        """A shop with endless chats must not eat the whole budget; 30 days are twenty pages at most."""
        assert finished(500, 50, 100_000)
        assert not finished(950, 50, 100_000, 20)
        assert finished(1000, 50, 100_000, 20)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.text())
def test_a_normalised_name_stays_as_it_is(name: str) -> None:
    """Normalising twice changes nothing, so stored and fresh names compare."""
    once = normalise_username(name)
    assert once is None or (once and normalise_username(once) == once and once[0] != "@")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (" @Iryna.Example\n", "iryna.example"),
        ("@ @x", "x"),
        ("ІРИНА", "ІРИНА"),
        ("https://www.instagram.com/Iryna.Example/?hl=uk", "iryna.example"),
        ("t.me/@Iryna_1", "iryna_1"),
        ("t.me/", None),
        ("https://instagram.com/p/C0XYZ/", None),
        ("https://www.instagram.com/reel/C0XYZ/?igsh=1", None),
        ("instagram.com/stories/anna/1", "anna"),
        ("https://instagram.com/stories/highlights/178", None),
        ("instagram.com/anna/p/C0XYZ/", "anna"),
        ("https://m.instagram.com/anna.k", "anna.k"),
        ("HTTPS://Instagram.com/_u/Anna", "anna"),
        ("https://ig.me/m/anna", "anna"),
        ("t.me/s/anna", "anna"),
        ("https://telegram.me/anna_k", "anna_k"),
        ("https://t.me/anna/120?single", "anna"),
        ("https://t.me/+AbCdEf", None),
        ("t.me/joinchat/AbCdEf", None),
        ("t.me/c/1234567/8", None),
        ("tg://resolve?domain=anna", None),
        ("https://shop.example/anna", None),
        ("x" * 200, "x" * 200),
        ("x" * 201, None),
        ("iryna.t.me", "iryna.t.me"),
        ("@", None),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_row34_names_are_compared_without_at_spaces_and_case(value: object, name: str | None) -> None:
    """`@Iryna ` and `iryna` are one user; nothing left is None; an address that is no profile is nobody."""
    assert normalise_username(value) == name


@pytest.mark.parametrize(("one", "other"), [("kira", "\u212aira"), ("sofia", "\u017fofia"), ("grosser", "großer")])
def test_row34_look_alikes_are_other_people(one: str, other: str) -> None:
    """Only ASCII letter case is folded: the Kelvin sign is no k, the long s no s, ß not ss."""
    assert normalise_username(one) != normalise_username(other)
    assert found([of("1", normalise_username(other), "instagram")], instagram=normalise_username(one)) is None


class TestRow34Owner:
    """One person who writes to two pages of one account."""

    PAGES = (
        Chat("a", "olena", "instagram", "u1", owner_id="11", owner_name="Brand.One"),
        Chat("b", "olena", "instagram", "u2", owner_id="22", owner_name="brand.two"),
    )

    @pytest.mark.parametrize(("owner", "chat"), [("11", "a"), ("22", "b"), ("brand.one", "a"), ("@Brand.Two", "b")])
    def test_row34_the_page_must_fit(self, owner: str, chat: str) -> None:
        """By its id, or by its name as people write names."""
        chosen = choose(self.PAGES, instagram="olena", telegram=None, owner=owner)
        assert isinstance(chosen, Chat)
        assert chosen.id == chat

    def test_row34_another_page_is_nobody(self) -> None:
        """Whatever else fits; and without a page set two chats of two pages are ambiguous."""
        assert choose(self.PAGES, instagram="olena", telegram=None, owner="33") == ()
        assert choose(self.PAGES, instagram="olena", telegram=None) == self.PAGES

    def test_row34_a_chat_of_unknown_page_gives_way_to_one_that_fits(self) -> None:
        """Like an unknown source it is no proof, and neither of the opposite."""
        unknown = Chat("c", "olena", "instagram", "u3")
        assert choose([unknown], instagram="olena", telegram=None, owner="11") == unknown
        assert choose([unknown, *self.PAGES], instagram="olena", telegram=None, owner="11") == self.PAGES[0]
