"""Stores that have seen many customers: tables of any size, made in SQL, and the life of one more session in them."""

import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from mirt_sitniks.core.budget import Limit
from mirt_sitniks.core.chats import Chat
from mirt_sitniks.core.record import Claim, Intent, ObservedValue
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import KeyVerdict, Report, ScanPage, Settlement, StoreOptions, SyncStore

OPTIONS = StoreOptions("key", limit=Limit(9, 10.5), who="bench")
CHAT_SHARE, CLOSED_SHARE = 6, 9
"""Of ten sessions six have a chat, three were given up without one, one was superseded."""

SQLITE = """
create temp table numbers as
    with recursive n(i) as (select 1 union all select i + 1 from n where i < {sessions}) select i from n;
insert into sitniks_chat_mappings (
    user_id, instagram_username, sitniks_chat_id, sitniks_manager_id, current_status, created_at, updated_at,
    first_touch_at, generation, stage, intent, intent_order, want_status, want_status_gen, want_manager,
    want_manager_gen, status_gen, manager_gen, parked, closed, due_at, urgent_at, pending)
select 'user-' || i, 'name.' || i, case when i % 10 < 6 then printf('%024x', (i * 2654435761) % 1099511627776) end,
    101, 'Взято в роботу', i, i, i, 1, 'first_touch', 'first_touch', i, 'first_touch', 1, 'ai', 1,
    case when i % 10 < 6 then 1 else 0 end, case when i % 10 < 6 then 1 else 0 end,
    case when i % 10 between 6 and 8 then 1 else 0 end, case when i % 10 = 9 then 'superseded' end, 1, 1, 0
from numbers;
insert into sitniks_ledger (session, kind, key, stage, generation, who, at, before, after)
select 'user-' || i, case k when 0 then 'intent' else 'outcome' end, case k when 0 then 'first_touch' end,
    'first_touch', 1, 'bench', i, '{{}}', '{{"status": "Взято в роботу"}}'
from numbers, (select 0 as k union all select 1);
insert into sitniks_directory (chat_id, nickname, source, user_id, last_message_at, status, manager_id, seen_at)
select printf('%024x', (i * 2654435761) % 1099511627776), 'name.' || i, 'instagram', i, '2026-01-10T10:00:00.000Z',
    'Нові заявки', null, i
from numbers where i % 10 < 6;
drop table numbers;
"""


POSTGRES = """
insert into public.sitniks_chat_mappings (
    user_id, instagram_username, sitniks_chat_id, sitniks_manager_id, current_status, first_touch_at, generation, stage,
    intent, intent_order, want_status, want_status_gen, want_manager, want_manager_gen, status_gen, manager_gen, parked,
    closed, pending)
select 'user-' || i, 'name.' || i, case when i % 10 < 6 then md5(i::text) end, 101, 'Взято в роботу', now(), 1,
    'first_touch', 'first_touch', i, 'first_touch', 1, 'ai', 1, case when i % 10 < 6 then 1 else 0 end,
    case when i % 10 < 6 then 1 else 0 end, case when i % 10 between 6 and 8 then 1 else 0 end,
    case when i % 10 = 9 then 'superseded' end, false
from generate_series(1, {sessions}) i;
insert into public.sitniks_ledger (session, kind, key, stage, generation, who, at, before, after)
select 'user-' || i, case k when 0 then 'intent' else 'outcome' end, case k when 0 then 'first_touch' end,
    'first_touch', 1, 'bench', now(), '{{}}', '{{"status": "Взято в роботу"}}'
from generate_series(1, {sessions}) i, generate_series(0, 1) k;
insert into public.sitniks_directory (chat_id, nickname, source, user_id, last_message_at, status, seen_at)
select md5(i::text), 'name.' || i, 'instagram', i, '2026-01-10T10:00:00.000Z', 'Нові заявки', now()
from generate_series(1, {sessions}) i where i % 10 < 6;
"""


async def life(store: SyncStore, number: int, known: str, skip: Callable[[], Awaitable[object]]) -> dict[str, float]:
    """Seconds that each verb took for a new customer who is looked up, written, and claimed by a worker once.

    `known` is a session of old that gets an invoice meanwhile; `skip` lets the budget's window pass.
    """
    times: dict[str, float] = {}
    session, name, chat = f"new-{number}", f"new.{number}", f"c{number:023x}"
    await skip()
    began = time.perf_counter()
    found = await store.record(OPTIONS, Intent(session, Stage.FIRST_TOUCH, "first_touch", instagram=name))
    times["record, new"] = time.perf_counter() - began
    assert found.claim is not None
    assert found.claim.scan is not None
    page = ScanPage(found.claim.scan, (Chat(chat, name, "instagram", "1", "2026-01-10T10:00:00.000Z"),), 1, 1)
    began = time.perf_counter()
    scanned = await store.settle(OPTIONS, _report(found.claim, page))
    times["settle a page"] = time.perf_counter() - began
    assert scanned.claim is not None
    began = time.perf_counter()
    await store.settle(OPTIONS, _report(scanned.claim))
    times["settle writes"] = time.perf_counter() - began
    await skip()
    began = time.perf_counter()
    invoice = Intent(known, Stage.GIVE_REQUISITES, f"give_requisites:{number}")
    recorded = await store.record(OPTIONS, invoice, calls=0)
    times["record, known"] = time.perf_counter() - began
    assert recorded.record.chat_id
    began = time.perf_counter()
    claimed = await store.claim(OPTIONS)
    times["claim"] = time.perf_counter() - began
    (claim,) = claimed.claims
    await store.settle(OPTIONS, _report(claim))
    return times


def _report(claim: Claim, page: ScanPage | None = None) -> Report:
    """All that was asked for is confirmed; or a page was read, and the record waits for its end."""
    record = claim.record
    assert record is not None
    want = record.desired
    seen = record.observed
    if page is None:
        role = 101 if want.manager.value else None
        status, manager = ObservedValue(str(want.status.value), want.status.gen), ObservedValue(role, want.manager.gen)
        seen = replace(seen, status=status, manager=manager)
    news = Settlement(record.session, record.token, want.generation, seen, seen.unconfirmed, record.chat_id)
    return Report(news, page, KeyVerdict(), calls=2)


def known_sessions(sessions: int) -> "itertools.cycle[str]":
    """Sessions of old that have a chat, from all over the table."""
    step = max(1, sessions // 97)
    return itertools.cycle([f"user-{i}" for i in range(1, sessions, step) if i % 10 < CHAT_SHARE])
