"""The embedded store as people read it with SQL: two views, with the columns that they have in Postgres."""

STATE = (
    "case when closed is not null then 'superseded' when pending = 1 then 'waiting' "
    "when parked >= generation and error_code is not null then 'given up' else 'done' end"
)
# What is wrong with a session.
CODE = (
    "case when closed is null and (pending = 1 or parked >= generation) then coalesce(error_code, "
    "case when pending = 1 and sitniks_chat_id is null and search_attempt > 0 then 'chat_not_found' end) end"
)
# Whose a line of the ledger is: its session's account's, also once the session is forgotten.
ACCOUNT = (
    "coalesce((select m.account from sitniks_chat_mappings m where m.user_id = session), "
    "case when instr(session, '/') > 0 then substr(session, 1, instr(session, '/') - 1) else 'main' end)"
)


def _iso(seconds: str) -> str:
    return f"strftime('%Y-%m-%dT%H:%M:%fZ', {seconds}, 'unixepoch')"


_SESSIONS = f"""
create view sitniks_sessions as
select
    user_id as session, account, instagram_username as instagram, telegram_username as telegram,
    sitniks_chat_id as chat_id, stage, {STATE} as state, want_status as asked_status, want_manager as asked_manager,
    current_status as shown_status, sitniks_manager_id as shown_manager, {CODE} as error_code,
    case when closed is null and (pending = 1 or parked >= generation) then error_message end as error_message,
    {_iso("nullif(asked_at, 0)")} as asked_at, {_iso("first_touch_at")} as first_touch_at,
    case when pending = 1 then {_iso("due_at")} end as next_try_at, attempt as failures,
    {_iso("updated_at")} as updated_at
from sitniks_chat_mappings
"""
_STORY = f"""
create view sitniks_story as
select
    id, {_iso("at")} as at, nullif(session, '') as session, case when session <> '' then {ACCOUNT} end as account,
    stage, case kind when 'intent' then 'asked for' when 'try' then 'call' else kind end as what,
    case kind when 'try' then key end as call,
    coalesce(json_extract(after, '$.code'), json_extract(after, '$.error')) as code,
    case kind when 'try' then json_extract(after, '$.status') end as http_status,
    json_extract(after, '$.seconds') as seconds,
    json_extract(before, '$.chat_id') as chat_before, json_extract(after, '$.chat_id') as chat_after,
    json_extract(before, '$.status') as status_before,
    case kind when 'outcome' then json_extract(after, '$.status') end as status_after,
    json_extract(before, '$.manager_id') as manager_before, json_extract(after, '$.manager_id') as manager_after,
    json_extract(after, '$.reason') as reason, who
from sitniks_ledger where kind <> 'also'
"""
VIEWS = (
    "drop view if exists sitniks_sessions",
    _SESSIONS,
    "drop view if exists sitniks_story",
    _STORY,
)
