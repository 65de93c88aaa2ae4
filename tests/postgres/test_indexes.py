"""Every verb finds its rows by an index, however many sessions there are."""

import json

from mirt_sitniks.core.chats import Contact
from mirt_sitniks.core.record import Intent, Observed, ObservedValue, Scan, Unconfirmed
from mirt_sitniks.core.stages import Stage
from mirt_sitniks.core.store import Report, ScanPage, Settlement
from mirt_sitniks.stores import supabase_rows as rows
from tests.postgres.stack import Stack
from tests.stores.worlds import OPTIONS, migrate

MANY = """
insert into public.sitniks_chat_mappings (user_id, instagram_username, telegram_username, sitniks_chat_id, generation,
    want_status_gen, status_gen, urgent_at, due_at, pending, intent_order)
select 's' || n, 'ig' || n, 'tg' || n, case when n % 1000 < 998 then 'c' || n end, 1, 1, (n % 1000 < 990)::int,
    now() - make_interval(secs => n), now() + make_interval(secs => n % 7 * 100), n % 1000 >= 990, n
from generate_series(1, 20000) n;
insert into public.sitniks_ledger (session, kind, key, generation, who, at, before, after)
select 's' || n % 20000, 'intent', 'k' || n, 1, 'test', now(), '{}', '{}' from generate_series(1, 40000) n;
insert into public.sitniks_directory (chat_id, nickname, source, seen_at)
select 'c' || n, 'ig' || n, 'instagram', now() from generate_series(1, 20000) n;
analyze public.sitniks_chat_mappings, public.sitniks_ledger, public.sitniks_directory;
"""
SCANS = """
select relname, seq_scan from pg_stat_user_tables
where relname in ('sitniks_chat_mappings', 'sitniks_ledger', 'sitniks_directory') order by 1
"""


def test_no_verb_reads_a_whole_table(supabase_stack: Stack) -> None:
    """Counted by Postgres itself: recording, claiming, settling, looking up, forgetting and pruning make no scan."""
    migrate(supabase_stack)
    supabase_stack.sql(MANY)
    before = supabase_stack.sql(f"select pg_stat_force_next_flush(); {SCANS}")[1:]
    options = rows.options_json(OPTIONS)
    observed = Observed(ObservedValue("x", 1), ObservedValue(1, 1), Unconfirmed(1, 2e9))
    scan = Scan(1, 0.0, 1.0)
    calls = [
        ("record", rows.intent_json(Intent("s7", Stage.ESCALATION, "new", "ig7", "tg8"))),
        ("record", rows.intent_json(Intent("fresh", Stage.FIRST_TOUCH, "new", "ig9", "tg10", "c11"))),
        ("record", rows.intent_json(Intent("unknown", Stage.FIRST_TOUCH, "new", "nobody"))),
        ("claim", None),
        ("settle", rows.report_json(Report(Settlement("s992", 0, 1, observed, chat_id="c992", keep=True), calls=2))),
        ("settle", rows.report_json(Report(Settlement("s993", 9, 1, observed, chat_id="c993", unconfirmed_until=2e9)))),
        ("settle", rows.report_json(Report(page=ScanPage(scan, (Contact("c1", "ig1"),), 1, 1), calls=2))),
        ("observe", {"chat_id": "c5", "status": "x"}),
        ("get", {"session": "s5"}),
        ("story_of", {"session": "s5", "limit": 100}),
        ("forget", {"session": "s6"}),
        ("prune", {"older_than": 90 * 86_400.0}),
    ]
    text = "set role service_role; "
    for verb, what in calls:
        request = {
            "terms": options,
            "want": 2,
            "limit": 9,
            "intent": what if verb == "record" else None,
            **(what or {}),
        }
        text += f"select public.sitniks_{verb}('{json.dumps(request)}'); "
    supabase_stack.sql(text + "reset role; select pg_stat_force_next_flush()")
    assert supabase_stack.sql(SCANS) == before
