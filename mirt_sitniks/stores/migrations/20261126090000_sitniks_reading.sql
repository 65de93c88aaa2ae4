-- What people and commands look at: two views with readable names, and the functions behind `status`, `list` and `tail`.
-- Nothing here writes, or locks anything but as each query does.

-- One row a session: what is asked for, what the CRM shows, and what is wrong.
drop view if exists public.sitniks_sessions;
create view public.sitniks_sessions with (security_invoker = true) as
select
    user_id as session, account, instagram_username as instagram, telegram_username as telegram,
    sitniks_chat_id as chat_id, stage, state, want_status as asked_status, want_manager as asked_manager,
    current_status as shown_status, sitniks_manager_id as shown_manager,
    case
        when state = 'waiting' and error_code is null and sitniks_chat_id is null and search_attempt > 0
            then 'chat_not_found'
        when state in ('waiting', 'given up') then error_code
    end as error_code,
    case when state in ('waiting', 'given up') then error_message end as error_message,
    nullif(asked_at, 'epoch') as asked_at, first_touch_at, case state when 'waiting' then due_at end as next_try_at,
    attempt as failures, updated_at
from public.sitniks_chat_mappings m, lateral (
    select case
        when m.closed is not null then 'superseded'
        when m.pending then 'waiting'
        when m.parked >= m.generation and m.error_code is not null then 'given up'
        else 'done'
    end as state
) as standing
where m.is_current;

-- The ledger as a story: what was asked for, each call, and what came out. A line is its session's account's, also once
-- its session is forgotten; of no session is what was done for all.
drop view if exists public.sitniks_story;
create view public.sitniks_story with (security_invoker = true) as
select
    l.id, l.at, nullif(l.session, '') as session,
    case when l.session <> '' then coalesce(
        m.account, case when strpos(l.session, '/') > 0 then split_part(l.session, '/', 1) else 'main' end
    ) end as account,
    l.stage, case l.kind when 'intent' then 'asked for' when 'try' then 'call' else l.kind end as what,
    case l.kind when 'try' then l.key end as call, coalesce(l.after ->> 'code', l.after ->> 'error') as code,
    case l.kind when 'try' then (l.after ->> 'status')::integer end as http_status,
    (l.after ->> 'seconds')::double precision as seconds,
    l.before ->> 'chat_id' as chat_before, l.after ->> 'chat_id' as chat_after,
    l.before ->> 'status' as status_before, case l.kind when 'outcome' then l.after ->> 'status' end as status_after,
    (l.before ->> 'manager_id')::bigint as manager_before, (l.after ->> 'manager_id')::bigint as manager_after,
    l.after ->> 'reason' as reason, l.who
from public.sitniks_ledger l
left join public.sitniks_chat_mappings m on m.user_id = l.session and m.is_current
where l.kind <> 'also';

revoke all on table public.sitniks_sessions, public.sitniks_story from public, anon, authenticated, service_role;
grant select on table public.sitniks_sessions, public.sitniks_story to service_role;

-- All sessions of an account in groups of the same kind, each with a row that shows it; the account's keys; who has
-- written to the ledger in the last `active` seconds. `statuses` are the CRM's names of what can be asked for.
create or replace function public.sitniks_overview(request jsonb) returns jsonb
language plpgsql stable security invoker
set search_path = '' set lock_timeout = '2s' set plan_cache_mode = force_custom_plan set jit = off as $$
declare
    tick timestamptz := public.sitniks_now();
    tenant text := request ->> 'account';
begin
    return (
        with held as (
            select to_jsonb(k) as row from public.sitniks_keys k
            where k.key > '' and coalesce(k.details ->> 'account', 'main') = tenant
        ), kinds as (
            select count(*) as count, min(asked_at) as oldest, min(ctid) as place
            from public.sitniks_chat_mappings
            where account = tenant and is_current and coalesce((request ->> 'counted')::boolean, true)
            group by pending, closed is null, parked >= generation, error_code, status_gen < want_status_gen,
                manager_gen < want_manager_gen, want_status is null,
                coalesce(current_status = (request -> 'statuses' ->> want_status), false),
                sitniks_chat_id is null and search_attempt > 0,
                coalesce((details #>> '{clock,2}')::float8 = 0 and (details #>> '{clock,4}')::float8 = 0, false)
        ), lately as (
            select who, max(at) as at from public.sitniks_story
            where at > tick - make_interval(secs => (request ->> 'active')::double precision)
                and coalesce(account, tenant) = tenant and coalesce((request ->> 'counted')::boolean, true)
            group by who
        )
        select jsonb_build_object(
            'now', tick,
            'version', public.sitniks_check('{"tables": [], "functions": [], "version": 0}') -> 'version',
            'keys', (select coalesce(jsonb_agg(row), '[]') from held),
            'groups', (
                select coalesce(jsonb_agg(jsonb_build_object(
                    'count', k.count, 'oldest', k.oldest,
                    'example', to_jsonb(m) - array['id', 'created_at', 'is_current', 'pending', 'aside', 'ready_at', 'account']
                )), '[]')
                from kinds k join public.sitniks_chat_mappings m on m.ctid = k.place
            ),
            'active', (select coalesce(jsonb_object_agg(who, at), '{}') from lately),
            'shown', (
                select coalesce(jsonb_agg(distinct d.status), '[]') from public.sitniks_directory d
                where (request ->> 'listed')::boolean and d.account = tenant and d.status is not null
            ),
            -- Many are not counted one by one.
            'lines', (
                select case
                    when not coalesce((request ->> 'counted')::boolean, true) then 0
                    when reltuples > 100000 then reltuples::bigint else (select count(*) from public.sitniks_ledger)
                end
                from pg_catalog.pg_class where oid = 'public.sitniks_ledger'::regclass
            )
        )
    );
end $$;

-- A page of the sessions of an account that fit all that is asked for, in order. `stuck` are the codes with which a
-- session has failed although it is tried again.
create or replace function public.sitniks_sessions(request jsonb) returns jsonb
language plpgsql stable security invoker
set search_path = '' set lock_timeout = '2s' set plan_cache_mode = force_custom_plan set jit = off as $$
declare
    who text := request ->> 'who';
    wish text := request ->> 'state';
    since text := request ->> 'after';
    latest timestamptz := request ->> 'asked_before';
    codes text[] := array(select jsonb_array_elements_text(request -> 'codes'));
    stuck text[] := array(select jsonb_array_elements_text(request -> 'stuck'));
    -- Few fit what has no index: reading the table is quicker than looking each row up in order.
    few boolean := who is null and (wish is not null or latest is not null or cardinality(codes) > 0);
begin
    return (
        select coalesce(
            jsonb_agg(
                to_jsonb(m) - array['id', 'created_at', 'is_current', 'pending', 'aside', 'ready_at', 'account']
                order by m.user_id
            ), '[]'
        )
        from public.sitniks_chat_mappings m
        where m.is_current and m.user_id = any (array(
            select s.user_id from public.sitniks_chat_mappings s
            where s.is_current and s.account = request ->> 'account' and (since = '' or s.user_id > since)
                and (
                    who is null or s.user_id = any (array[who, request ->> 'row']) or s.sitniks_chat_id = who
                    or s.instagram_username = request ->> 'name' or s.telegram_username = request ->> 'name'
                )
                and (
                    wish is null
                    or wish = 'waiting' and s.pending and coalesce(s.error_code <> all (stuck), true)
                    or wish = 'failed' and s.closed is null and s.error_code is not null
                        and case when s.pending then s.error_code = any (stuck) else s.parked >= s.generation end
                    or wish = 'held' and not s.pending and s.closed is null and s.want_status is not null
                        and (s.error_code is null or s.parked < s.generation)
                        and s.current_status is distinct from (request -> 'statuses' ->> s.want_status)
                    or wish = 'unanswered' and (s.details #>> '{clock,2}')::float8 = 0
                        and (s.details #>> '{clock,4}')::float8 = 0
                )
                and (
                    cardinality(codes) = 0 or s.closed is null and (s.pending or s.parked >= s.generation) and case
                        when s.error_code is not null then s.error_code = any (codes)
                        else 'chat_not_found' = any (codes) and s.pending and s.sitniks_chat_id is null
                            and s.search_attempt > 0
                    end
                )
                and (latest is null or s.asked_at < latest)
                and (not (request -> 'charted')::boolean or s.sitniks_chat_id is not null)
            order by case when few then s.user_id || '' else s.user_id end limit (request ->> 'limit')::integer
        ))
    );
end $$;

-- Lines of a session or of an account, oldest first, in one value: PostgREST cuts long lists, not this. Those behind
-- the one numbered `after`, else the newest.
create or replace function public.sitniks_lines(request jsonb) returns jsonb
language plpgsql stable security invoker
set search_path = '' set lock_timeout = '2s' set plan_cache_mode = force_custom_plan set jit = off as $$
declare
    tenant text := request ->> 'account';
    behind bigint := coalesce((request ->> 'after')::bigint, -1);
    most integer := (request ->> 'limit')::integer;
begin
    return (
        with mine as not materialized (
            select l.* from public.sitniks_ledger l
            where (request ->> 'session' is null or l.session = request ->> 'session')
                -- So wrapped, because Postgres thinks that nearly no line is of one account, and would sort them all.
                and coalesce(tenant is null or l.session = '' or tenant = coalesce(
                    (select m.account from public.sitniks_chat_mappings m where m.user_id = l.session and m.is_current),
                    case when strpos(l.session, '/') > 0 then split_part(l.session, '/', 1) else 'main' end
                ), false)
        )
        select coalesce(jsonb_agg(to_jsonb(line) order by line.id), '[]')
        from (
            (select * from mine where behind < 0 order by id desc limit most)
            union all (select * from mine where behind >= 0 and id > behind order by id limit most)
        ) as line
    );
end $$;

revoke all on function public.sitniks_overview(jsonb), public.sitniks_sessions(jsonb), public.sitniks_lines(jsonb)
    from public, anon, authenticated;
grant execute on function public.sitniks_overview(jsonb), public.sitniks_sessions(jsonb), public.sitniks_lines(jsonb)
    to service_role;

notify pgrst, 'reload schema';
