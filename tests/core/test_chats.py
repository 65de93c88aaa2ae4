"""Which chat belongs to a customer: how names are compared, whose a chat is, and which chats are read for it."""

from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirt_sitniks.core.chats import AMBIGUOUS, Contact, choose, finished, next_scan, normalise_username


def found(contacts: Iterable[Contact], instagram: str | None = None, telegram: str | None = None) -> str | None:
    """The id of the chat that is chosen, None, or `AMBIGUOUS`."""
    chosen = choose(contacts, instagram=instagram, telegram=telegram)
    return chosen.chat_id if isinstance(chosen, Contact) else chosen


def of(chat: str, name: str | None, source: str | None, user: str | None = None, last: str | None = None) -> Contact:
    return Contact(chat, name, source, user or chat, last)


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
        own = Contact("mine", "olena", "instagram", own=True)
        assert found([own], instagram="olena") == "mine"
        assert found([own, of("ig", "olena", "instagram")], instagram="olena") == "ig"

    @given(
        st.lists(
            st.builds(
                Contact,
                st.text("abc", min_size=1, max_size=2),
                st.sampled_from([None, "olena", "ira"]),
                st.sampled_from([None, "", "instagram", "telegram_bot", "facebook"]),
                st.sampled_from([None, "u1", "u2"]),
            ),
            max_size=6,
            unique_by=lambda contact: contact.chat_id,
        )
    )
    def test_row13_never_another_persons_chat(self, contacts: list[Contact]) -> None:
        """Whatever the directory holds: the name is the customer's, and the source is not another channel."""
        chosen = choose(contacts, instagram="olena", telegram=None)
        if isinstance(chosen, Contact):
            assert chosen.nickname == "olena"
            assert chosen.source in (None, "", "instagram")
            rivals = {
                one.user_id or one.chat_id
                for one in contacts
                if one.nickname == "olena" and one.source == chosen.source
            }
            assert len(rivals) == 1


class TestRow12:
    """Windows and pages."""

    def window(self, attempt: int, windows_read: tuple[float, float] = (-1e9, -1e9)) -> float:
        scan = next_scan([(attempt, 1e9)], token=1, windows_read=windows_read, now=0.0, wall=1e9, lookback=300.0)
        assert scan
        return 1e9 - scan.since

    def test_row12_the_window_grows_to_a_day_and_to_30_days(self) -> None:
        """A returning customer's chat is old by whichever date the API filters; the wide windows are read once."""
        assert [self.window(attempt) for attempt in range(4)] == [300.0, 86_400.0, 30 * 86_400.0, 300.0]

    def test_row12_a_window_that_was_read_lately_is_not_read_again(self) -> None:
        """The directory answers in its place."""
        assert self.window(1, windows_read=(-500.0, -1e9)) == 300.0
        assert self.window(1, windows_read=(-700.0, -1e9)) == 86_400.0

    def test_row12_one_scan_serves_everybody_who_waits(self) -> None:
        """It begins where the oldest needs it, and ends in the future: a slow clock here hides no chat."""
        waiting = [(1, 1e9), (0, 1e9), (0, 1e9 - 5000.0)]
        scan = next_scan(waiting, token=7, windows_read=(-1e9, -1e9), now=0.0, wall=1e9, lookback=300.0)
        assert scan
        assert (scan.since, scan.window, scan.token) == (1e9 - 86_400.0, 1, 7)
        assert scan.until > 1e9
        assert next_scan([], token=1, windows_read=(0.0, 0.0), now=0.0, wall=0.0, lookback=0.0) is None

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
        """A shop with endless chats must not eat the whole budget."""
        assert finished(500, 50, 100_000)


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
        ("ІРИНА", "ірина"),
        ("https://www.instagram.com/Iryna.Example/?hl=uk", "iryna.example"),
        ("t.me/@Iryna_1", "iryna_1"),
        ("t.me/", "t.me/"),
        ("x" * 200, "x" * 200),
        ("x" * 201, None),
        ("iryna.t.me", "iryna.t.me"),
        ("@", None),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_names_are_compared_without_at_spaces_and_case(value: object, name: str | None) -> None:
    """`@Iryna ` and `iryna` are one user; nothing left is None."""
    assert normalise_username(value) == name
