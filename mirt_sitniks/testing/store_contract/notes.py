"""What every store promises of notes: handed out once, and kept nowhere."""

from dataclasses import replace
from typing import Any

from mirt_sitniks.core.record import Intent
from mirt_sitniks.core.stages import BUILT_IN
from mirt_sitniks.core.store import Recorded
from mirt_sitniks.testing.store_contract.verbs import ESCALATION, SHOWN, claim, claimed, get, nothing_for, settle
from mirt_sitniks.testing.store_world import OPTIONS, World


def noted(world: World, session: str, **intent: Any) -> Recorded:
    """Record an escalation that leaves a note."""
    rule = replace(BUILT_IN[ESCALATION], note="{reason} «{words}»")
    options = replace(OPTIONS, stages={**BUILT_IN, ESCALATION: rule})
    made = Intent(session, ESCALATION, "k", reason="чому", words="„слова“\n'x'", **intent)
    return world.run(world.store.record(options, made, calls=2))


def fates(world: World, session: str = "a") -> list[str]:
    """What the ledger says of a session's notes."""
    return [one.after["note"] for one in world.run(world.store.ledger(session)) if "note" in one.after]


class NotesContract:
    """Each test is one claim."""

    def test_a_note_is_handed_out_once_and_kept_nowhere(self, world: World) -> None:
        """Behind both writes the settle grants its call; from then on the store has none of its words, only a line that
        says that nobody knows, and another one once somebody does."""
        held = claimed(noted(world, "a", chat_id="c1"))
        assert held.note is None
        assert "„слова“ 'x'" in get(world, "a").notes[0].text
        held = claimed(settle(world, held, status=SHOWN))
        assert held.note is not None
        assert held.note.text == "чому «„слова“ 'x'»"
        assert (get(world, "a").notes, held.record and held.record.notes) == ((), ())
        assert fates(world) == ["unknown"]
        world.clock.now += 1000.0
        assert nothing_for(claim(world), None)
        last = settle(world, held, note=held.note, noted="sent", status=SHOWN)
        assert (last.claim, fates(world)) == (None, ["unknown", "sent"])

    def test_a_note_that_was_not_sent_comes_back(self, world: World) -> None:
        """With its tries, due when its holder says; a holder who lost his lease brings nothing back."""
        held = claimed(settle(world, claimed(noted(world, "a", chat_id="c1")), status=SHOWN))
        assert held.note is not None
        tried = replace(held.note, tries=1)
        late = world.clock.now + 40.0
        assert settle(world, held, note=tried, noted="waits", due_at=late, status=SHOWN).claim is None
        assert get(world, "a").notes == (tried,)
        assert nothing_for(claim(world), 40.0)
        world.clock.now = late
        (again,) = claim(world).claims
        assert (again.note, len(again.grants)) == (tried, 1)
        settle(world, held, note=tried, noted="waits")
        assert get(world, "a").notes == ()

    def test_a_note_is_erased_with_its_customer(self, world: World) -> None:
        """Forgotten before it is sent it is nowhere; and no pruning takes one that is still to be sent."""
        settle(world, claimed(noted(world, "a", chat_id="c1")), calls=0, status=SHOWN)
        assert len(get(world, "a").notes) == 1
        world.clock.now += 100.0
        world.run(world.store.prune(50))
        assert len(get(world, "a").notes) == 1
        world.run(world.store.forget("a"))
        assert world.run(world.store.get("a")) is None
        assert claim(world).claims == ()
