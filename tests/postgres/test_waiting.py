"""More sessions wait for a chat than one transaction tells: after one scan all of them are where they shall be."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.record import Claim, Intent
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import KeyVerdict, Recorded, Report, ScanPage, Verdict
from mirt_sitniks.stores.supabase import SupabaseStore
from mirt_sitniks.stores.supabase_request import WAITING
from tests.postgres.stack import Stack
from tests.stores.worlds import OPTIONS, START, World

# Every other one's chat stands in the directory since they began to wait.
MANY = f"""
insert into public.sitniks_chat_mappings (user_id, instagram_username, generation, stage, intent, intent_order,
    want_status, want_status_gen, search_since, urgent_at, due_at, pending)
select 's' || n, 'name' || n, 1, 'first_touch', 'k', n, 'first_touch', 1, moment, moment, moment, true
from generate_series(1, {{count}}) n, to_timestamp({START}) moment;
insert into public.sitniks_directory (chat_id, nickname, source, seen_at)
select 'c' || n, 'name' || n, 'instagram', now() from generate_series(2, {{count}}, 2) n;
"""
# Who waits and who has a chat, and whether it is the right one.
ENDS = """
select (sitniks_chat_id is not null)::int, search_attempt, extract(epoch from due_at)::int - {start}, count(*)::int
from public.sitniks_chat_mappings
where sitniks_chat_id is null or sitniks_chat_id = 'c' || substr(user_id, 2)
group by 1, 2, 3 order by 1, 2, 3
"""

COMMIT = SupabaseStore._commit


def ends(project: Stack) -> list[tuple[int, ...]]:
    """(has its own chat, searches made, seconds until it is due, how many)."""
    return [tuple(map(int, row)) for row in project.sql(ENDS.format(start=int(START)))]


def scanning(world: World) -> Claim:
    """The claim of the scan that all wait for."""
    (claim,) = world.run(world.store.claim(OPTIONS, limit=1)).claims
    assert claim.scan is not None
    return claim


def last_page(claim: Claim, *contacts: Chat) -> Report:
    assert claim.scan is not None
    contacts = tuple(replace(chat, seen_at=claim.now) for chat in contacts)
    return Report(page=ScanPage(claim.scan, contacts, len(contacts), len(contacts)), calls=2, basis=claim.basis)


def spied(world: World, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The changes of each commit that comes."""
    commits: list[dict[str, Any]] = []

    def spy(store: SupabaseStore, client: Any, changes: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        commits.append(changes)
        return COMMIT(store, client, changes)

    monkeypatch.setattr(SupabaseStore, "_commit", spy)
    return commits


@pytest.mark.parametrize("count", [600, pytest.param(8000, marks=pytest.mark.long)])
def test_one_scan_tells_all_who_wait(
    migrated: Stack, world: World, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Each gets its chat or its next search, at most 500 in a commit, and nothing is asked of the CRM once more."""
    migrated.sql(MANY.format(count=count))
    claim, commits = scanning(world), spied(world, monkeypatch)
    settled = world.run(world.store.settle(OPTIONS, last_page(claim, Chat("c1", "name1", "instagram"))))
    assert settled.claim is None
    found = count // 2 + 1
    assert ends(migrated) == [(0, 1, 5, count - found), (1, 0, 0, found)]
    told = [len(one["records"]) for one in commits]
    assert sum(told) == count
    assert max(told) <= WAITING
    claims = world.run(world.store.claim(OPTIONS)).claims
    assert claims
    assert all(one.scan is None for one in claims)
    assert world.run(world.store.ledger("s1"))[-1].after["chat_id"] == "c1"


def test_those_who_rest_hide_nobody_behind_them(migrated: Stack, world: World) -> None:
    """A page of people who are to be looked for later changes nothing: who stands behind them is told all the same."""
    migrated.sql(MANY.format(count=600) + "delete from public.sitniks_directory")
    migrated.sql(
        "update public.sitniks_chat_mappings set due_at = due_at + interval '9 s', search_attempt = 1 "
        "where user_id in (select user_id from public.sitniks_chat_mappings order by user_id limit 550)"
    )
    world.run(world.store.settle(OPTIONS, last_page(scanning(world))))
    assert ends(migrated) == [(0, 1, 5, 50), (0, 1, 9, 550)]


@pytest.mark.parametrize("session", ["a is first", "z is last"])
@pytest.mark.parametrize("commit", [0, 1])
def test_who_begins_to_wait_meanwhile_is_told(
    migrated: Stack, world: World, monkeypatch: pytest.MonkeyPatch, session: str, commit: int
) -> None:
    """Whoever makes a session wait writes the key: a scan that is just ending sees that, and none is needed again."""
    migrated.sql(MANY.format(count=600) + "insert into public.sitniks_directory (chat_id, nickname, source, seen_at) "
                 "select 'c' || n, 'name' || n, 'instagram', now() from generate_series(1, 600, 2) n")  # fmt: skip
    claim, number = scanning(world), 0

    async def interrupted(store: SupabaseStore, client: Any, changes: dict[str, Any]) -> Any:
        nonlocal number
        number += 1
        if number == commit + 1:
            await store.record(OPTIONS, Intent(session, Stage.FIRST_TOUCH, "k", instagram="late"), calls=0)
        return await COMMIT(store, client, changes)

    monkeypatch.setattr(SupabaseStore, "_commit", interrupted)
    world.run(world.store.settle(OPTIONS, last_page(claim, Chat("c of late", "late", "instagram"))))
    record = world.run(world.store.get(session))
    assert record is not None
    assert record.chat_id == "c of late"
    assert ends(migrated) == [(1, 0, 0, 600)]


def test_who_begins_to_wait_when_a_scan_has_just_ended_sees_it(
    migrated: Stack, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other way round: the scan ends between the look and the commit, and the session gets its chat at once."""
    world.run(world.store.record(OPTIONS, Intent("s", Stage.FIRST_TOUCH, "k", instagram="olena"), calls=0))
    claim = scanning(world)

    async def interrupted(store: SupabaseStore, client: Any, changes: dict[str, Any]) -> Any:
        monkeypatch.undo()
        await store.settle(OPTIONS, last_page(claim, Chat("c of late", "late", "instagram")))
        return await COMMIT(store, client, changes)

    monkeypatch.setattr(SupabaseStore, "_commit", interrupted)
    late = Intent("late", Stage.FIRST_TOUCH, "k", instagram="late")
    assert world.run(world.store.record(OPTIONS, late, calls=0)).record.chat_id == "c of late"


def test_customers_who_come_all_at_once_are_not_in_each_others_way(migrated: Stack, world: World) -> None:
    """A scan is under way for all of them: each is one look and one commit, however many there are."""
    world.run(world.store.record(OPTIONS, Intent("s", Stage.FIRST_TOUCH, "k", instagram="olena")))
    before = len(migrated.gateway.requests)

    async def together() -> list[Recorded]:
        many = (Intent(f"s{n}", Stage.FIRST_TOUCH, "k", instagram=f"name{n}") for n in range(30))
        return await asyncio.gather(*(world.store.record(OPTIONS, one) for one in many))

    assert {answer.verdict for answer in world.run(together())} == {Verdict.NEW}
    assert len(migrated.gateway.requests) - before == 2 * 30


def test_a_chat_that_a_session_of_another_name_has_is_seen(migrated: Stack, world: World) -> None:
    """Row 19: its holder, who has nothing to do and no name in common, is asked for when the page names the chat."""
    intent = Intent("old", Stage.FIRST_TOUCH, "k", chat_id="c1")
    world.run(world.store.record(OPTIONS, intent, calls=0))
    migrated.sql("update public.sitniks_chat_mappings set pending = false, parked = 1")
    newer = Intent("new", Stage.FIRST_TOUCH, "k", instagram="olena")
    world.run(world.store.record(OPTIONS, newer, calls=0))
    page = last_page(scanning(world), Chat("c1", "olena", "instagram"))
    world.run(world.store.settle(OPTIONS, page))
    assert [world.run(world.store.get(session)).chat_id for session in ("old", "new")] == [None, "c1"]


def test_who_was_told_is_not_asked_for_again(migrated: Stack, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who is in the way of a part has that part tried again, and none before it: a crowd is told in time."""
    migrated.sql(MANY.format(count=1200) + "delete from public.sitniks_directory")
    claim = scanning(world)

    async def disturbed(store: SupabaseStore, client: Any, changes: dict[str, Any]) -> Any:
        if changes["again"]["after"] and not done:
            done.append(migrated.sql("update public.sitniks_keys set scans = scans"))
        return await COMMIT(store, client, changes)

    done: list[object] = []
    monkeypatch.setattr(SupabaseStore, "_commit", disturbed)
    before = len(migrated.gateway.requests)
    world.run(world.store.settle(OPTIONS, last_page(claim)))
    assert ends(migrated) == [(0, 1, 5, 1200)]
    assert done
    assert migrated.gateway.requests[before:] == ["POST /rpc/sitniks_commit"] * 4


def test_an_answer_tells_what_the_commit_has_left(
    migrated: Stack, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was only read may have changed since: the outlook is that of the view that came with the commit."""

    async def interrupted(store: SupabaseStore, client: Any, changes: dict[str, Any]) -> Any:
        monkeypatch.undo()
        await store.settle(OPTIONS, Report(key_verdict=KeyVerdict("rate_limited", 60.0)))
        return await COMMIT(store, client, changes)

    monkeypatch.setattr(SupabaseStore, "_commit", interrupted)
    intent = Intent("s", Stage.FIRST_TOUCH, "k", chat_id="c1")
    answer = world.run(world.store.record(OPTIONS, intent, calls=0))
    assert answer.outlook.lock == ("rate_limited", START + 60)
    assert answer.outlook.work_in == 60.0
