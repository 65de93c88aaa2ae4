-- Two functions that know no rule: `sitniks_view` shows rows, `sitniks_commit` writes rows that are still what was seen.
-- The rules are in mirt_sitniks/core. A row's version is its xmin, so that everybody who writes counts: an earlier
-- version's functions, the original's upserts, a hand in the table editor. Times are ISO 8601.
-- An earlier version's functions stay where they are, for processes that still call them.

-- Who has promised to look for due work next, and when: the others need not look before.
alter table public.sitniks_keys
    add column if not exists lookout_at timestamptz not null default 'epoch',
    add column if not exists lookout_by text not null default '';

-- Those who wait for a chat, page by page.
create index if not exists sitniks_mappings_waiting on public.sitniks_chat_mappings (user_id)
    where pending and sitniks_chat_id is null;

-- The store's clock.
create or replace function public.sitniks_now() returns timestamptz
language sql volatile security invoker set search_path = '' as $$
    select clock_timestamp();
$$;

-- What a verb has to see, in one snapshot: its own sessions; whoever has a chat or a user name in common with them; the
-- most urgent that are due and the next that will be; a page of those who wait for a chat, and sums of those who are
-- not shown themselves; the key; the directory's hits.
create or replace function public.sitniks_view(request jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = '' set lock_timeout = '2s' as $$
declare
    tick timestamptz := public.sitniks_now();
    -- More than a verb takes, and than a window of the budget has calls.
    most integer := coalesce((request ->> 'due')::integer, 0) + 12;
    ordinary timestamptz := tick - make_interval(secs => (request ->> 'first_of_all')::double precision);
begin
    return (
        with mine as (
            select ctid as place, * from public.sitniks_chat_mappings
            where is_current and user_id = any (array(select jsonb_array_elements_text(request -> 'sessions')))
        ), page as (
            select ctid as place, * from public.sitniks_chat_mappings
            where pending and sitniks_chat_id is null and user_id > request ->> 'after'
            order by user_id
            limit (request ->> 'waiting')::integer
        ), names as (
            select unnest(array[instagram_username, telegram_username]) as name from mine
            union select unnest(array[instagram_username, telegram_username]) from page
            union select jsonb_array_elements_text(request -> 'names')
        ), hits as (
            select * from public.sitniks_directory where nickname = any (array(select name from names))
        ), chats as (
            select chat_id from hits
            union select sitniks_chat_id from mine
            union select jsonb_array_elements_text(request -> 'chats')
        ), found as (
            select place from mine
            union select place from page
            union (
                select ctid from public.sitniks_chat_mappings
                where instagram_username = any (array(select name from names)) and sitniks_chat_id is not null
            )
            union (
                select ctid from public.sitniks_chat_mappings
                where telegram_username = any (array(select name from names)) and sitniks_chat_id is not null
            )
            union (
                select ctid from public.sitniks_chat_mappings
                where sitniks_chat_id = any (array(select chat_id from chats))
            )
            union (
                select ctid from public.sitniks_chat_mappings
                where pending and sitniks_chat_id is not null and ready_at <= tick
                order by urgent_at, intent_order
                limit most
            )
            union (
                select ctid from public.sitniks_chat_mappings
                where pending and sitniks_chat_id is not null and ready_at <= tick and urgent_at > ordinary
                order by urgent_at, intent_order
                limit 1
            )
            union (
                select ctid from public.sitniks_chat_mappings
                where pending and sitniks_chat_id is not null
                order by ready_at
                limit most
            )
        ), waits as (
            select
                user_id, search_attempt, coalesce(search_since, tick) as since, urgent_at, ready_at,
                ready_at <= tick as due
            from public.sitniks_chat_mappings m
            where pending and sitniks_chat_id is null and not exists (select from found f where f.place = m.ctid)
        )
        select jsonb_build_object(
            'now', tick,
            'key', (
                select to_jsonb(k) || jsonb_build_object('version', k.xmin::text)
                from public.sitniks_keys k where k.key = request ->> 'key'
            ),
            'records', (
                select coalesce(jsonb_agg(
                    to_jsonb(m) - array['id', 'created_at', 'is_current', 'pending', 'ready_at']
                        || jsonb_build_object('version', m.xmin::text)
                ), '[]')
                from public.sitniks_chat_mappings m
                where m.ctid = any (array(select place from found)) and m.is_current
            ),
            'contacts', (select coalesce(jsonb_agg(to_jsonb(h) - 'seen_at'), '[]') from hits h),
            'waiting', (
                select jsonb_build_object(
                    'urgent_at', min(urgent_at) filter (where due),
                    'ordinary_at', min(urgent_at) filter (where due and urgent_at > ordinary),
                    'first_at', min(urgent_at),
                    'ready_at', min(ready_at),
                    'left', count(*) filter (where user_id > (select max(user_id) from page)),
                    'last', (select max(user_id) from page),
                    'due', (
                        select coalesce(jsonb_agg(jsonb_build_array(d.search_attempt, d.since)), '[]')
                        from (select search_attempt, min(since) as since from waits where due group by 1) as d
                    )
                )
                from waits
            ),
            'known', (
                select generation from public.sitniks_ledger
                where kind = 'intent' and session = request ->> 'session' and key = request ->> 'intent'
            ),
            'order', case
                when request ->> 'intent' is not null
                    then nextval(pg_get_serial_sequence('public.sitniks_ledger', 'id'))
            end
        )
    );
end $$;

-- Writes all or nothing: `done` is false when one of the rows is not what was seen any more, or somebody was in the way.
-- Answers with the view that comes next. Locks in one order: the key, records (who loses a chat before who gets it, then
-- by session), directory.
create or replace function public.sitniks_commit(request jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = '' set lock_timeout = '2s' as $$
declare
    one jsonb;
    done boolean := true;
begin
    begin
        if request ->> 'version' is not null then
            update public.sitniks_keys k
            set (grants, lock_code, locked_until, scan, scan_until, scan_due, scan_failures, scans, wide, aged_at,
                lookout_at, lookout_by)
                = (n.grants, n.lock_code, n.locked_until, n.scan, n.scan_until, n.scan_due, n.scan_failures, n.scans,
                n.wide, n.aged_at, n.lookout_at, n.lookout_by)
            from jsonb_populate_record(null::public.sitniks_keys, request -> 'key') n
            where k.key = n.key and k.xmin::text = request ->> 'version';
            if not found then raise serialization_failure; end if;
        elsif jsonb_typeof(request -> 'key') = 'object' then
            insert into public.sitniks_keys
            select n.* from jsonb_populate_record(null::public.sitniks_keys, request -> 'key') n;
        end if;
        for one in
            select r.value from jsonb_array_elements(request -> 'records') as r
            order by r.value ->> 'sitniks_chat_id' is not null, r.value ->> 'user_id'
        loop
            if one ->> 'version' is null then
                insert into public.sitniks_chat_mappings (user_id) values (one ->> 'user_id');
            end if;
            update public.sitniks_chat_mappings m
            set (instagram_username, telegram_username, sitniks_chat_id, sitniks_manager_id, current_status,
                first_touch_at, generation, stage, intent, intent_order, asked_at, want_status, want_status_gen,
                want_manager, want_manager_gen, status_gen, manager_gen, doubt_gen, doubt_until, doubt_looked, parked,
                attempt, due_at, error_code, error_message, search_since, search_attempt, urgent_at, lease_token,
                lease_until, closed, pending, updated_at)
                = (n.instagram_username, n.telegram_username, n.sitniks_chat_id, n.sitniks_manager_id, n.current_status,
                n.first_touch_at, n.generation, n.stage, n.intent, n.intent_order, n.asked_at, n.want_status,
                n.want_status_gen, n.want_manager, n.want_manager_gen, n.status_gen, n.manager_gen, n.doubt_gen,
                n.doubt_until, n.doubt_looked, n.parked, n.attempt, n.due_at, n.error_code, n.error_message,
                n.search_since, n.search_attempt, n.urgent_at, n.lease_token, n.lease_until, n.closed, n.pending,
                public.sitniks_now())
            from jsonb_populate_record(null::public.sitniks_chat_mappings, one) n
            where m.user_id = n.user_id and m.is_current and m.xmin::text = coalesce(one ->> 'version', m.xmin::text);
            if not found then raise serialization_failure; end if;
        end loop;
        insert into public.sitniks_ledger (id, session, kind, key, stage, generation, who, at, before, after)
        select
            coalesce(l.id, nextval(pg_get_serial_sequence('public.sitniks_ledger', 'id'))),
            l.session, l.kind, l.key, l.stage, l.generation, l.who, l.at, l.before, l.after
        from jsonb_populate_recordset(null::public.sitniks_ledger, request -> 'lines') l;
        delete from public.sitniks_directory
        where chat_id = any (array(select jsonb_array_elements_text(request -> 'dropped')));
        insert into public.sitniks_directory
        select c.chat_id, c.nickname, c.source, c.user_id, c.last_message_at, c.status, c.manager_id, public.sitniks_now()
        from jsonb_populate_recordset(null::public.sitniks_directory, request -> 'contacts') c
        order by c.chat_id
        on conflict (chat_id) do update
        set (nickname, source, user_id, last_message_at, status, manager_id, seen_at)
            = (excluded.nickname, excluded.source, excluded.user_id, excluded.last_message_at, excluded.status,
            excluded.manager_id, excluded.seen_at);
    exception when serialization_failure or unique_violation or deadlock_detected or lock_not_available then
        done := false;
    end;
    return jsonb_build_object(
        'done', done, 'view', public.sitniks_view(case when done then request -> 'next' else request -> 'again' end)
    );
end $$;

-- Erases one customer from every table and the directory; returns how many rows that were.
create or replace function public.sitniks_forget(request jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = '' set lock_timeout = '2s' as $$
declare
    chats text[];
    names text[];
    count integer;
    erased integer := 0;
begin
    -- Keys before mappings, as all who write.
    perform from public.sitniks_keys order by key for update;
    with gone as (
        delete from public.sitniks_chat_mappings where user_id = request ->> 'session'
        returning sitniks_chat_id, instagram_username, telegram_username
    )
    select
        array_agg(sitniks_chat_id), array_agg(instagram_username) || array_agg(telegram_username), count(*)
    into chats, names, erased
    from gone;
    delete from public.sitniks_directory where nickname = any (names) or chat_id = any (chats);
    get diagnostics count = row_count;
    erased := erased + count;
    delete from public.sitniks_ledger where session = request ->> 'session';
    get diagnostics count = row_count;
    return to_jsonb(erased + count);
end $$;

-- Deletes what is converged and was not touched for `older_than` seconds; rows that are in use stay for the next time.
create or replace function public.sitniks_prune(request jsonb) returns jsonb
-- Planned anew each time: what is older than the cutoff is nearly nothing once, and nearly all another time.
language plpgsql volatile security invoker
set search_path = '' set lock_timeout = '2s' set plan_cache_mode = force_custom_plan as $$
declare
    cutoff timestamptz := public.sitniks_now() - make_interval(secs => (request ->> 'older_than')::double precision);
    gone bigint;
    erased bigint := 0;
begin
    delete from public.sitniks_chat_mappings where id in (
        select id from public.sitniks_chat_mappings where not pending and updated_at < cutoff for update skip locked
    );
    get diagnostics gone = row_count;
    erased := erased + gone;
    delete from public.sitniks_directory where chat_id in (
        select chat_id from public.sitniks_directory where seen_at < cutoff for update skip locked
    );
    get diagnostics gone = row_count;
    erased := erased + gone;
    delete from public.sitniks_ledger where at < cutoff;
    get diagnostics gone = row_count;
    return to_jsonb(erased + gone);
end $$;

-- How much is there; `overdue` is how many seconds late work is.
create or replace function public.sitniks_counts(request jsonb) returns jsonb
language sql stable security invoker set search_path = '' set lock_timeout = '2s' as $$
    select jsonb_build_object(
        'records', (select count(*) from public.sitniks_chat_mappings where is_current),
        'pending', (select count(*) from public.sitniks_chat_mappings where pending),
        'overdue', (
            select count(*) from public.sitniks_chat_mappings
            where pending and due_at < (
                select public.sitniks_now() - make_interval(secs => (request ->> 'overdue')::double precision)
            )
        ),
        'ledger', (select count(*) from public.sitniks_ledger),
        'directory', (select count(*) from public.sitniks_directory)
    );
$$;

-- The schema's version, and three lists of names: what is missing, what this role may not do, what strangers may do.
create or replace function public.sitniks_check(request jsonb) returns jsonb
language sql stable security invoker set search_path = '' set lock_timeout = '2s' as $$
    with named as (
        select name, to_regclass('public.' || name)::oid as relation, null::oid as routine
        from jsonb_array_elements_text(request -> 'tables') as name
        union all
        select name, null, p.oid
        from jsonb_array_elements_text(request -> 'functions') as name
        left join pg_catalog.pg_proc p on p.proname = name and p.pronamespace = 'public'::regnamespace
    ), rights as (
        select
            name, role, coalesce(relation, routine) is null as missing,
            coalesce(
                has_table_privilege(role, relation, 'select') and has_table_privilege(role, relation, 'insert')
                and has_table_privilege(role, relation, 'update') and has_table_privilege(role, relation, 'delete'),
                has_function_privilege(role, routine, 'execute')
            ) as may_all,
            coalesce(
                has_table_privilege(role, relation, 'select, insert, update, delete'),
                has_function_privilege(role, routine, 'execute')
            ) as may_some
        from named, (values (current_user::text), ('anon'), ('authenticated')) as roles (role)
        where to_regrole(role) is not null
    )
    select jsonb_build_object(
        'version', 2,
        'missing', coalesce(jsonb_agg(distinct name) filter (where missing), '[]'),
        'denied', coalesce(jsonb_agg(distinct name) filter (where role = current_user and not may_all), '[]'),
        'open', coalesce(jsonb_agg(distinct name) filter (where role <> current_user and may_some), '[]')
    )
    from rights;
$$;

-- Functions are everybody's until that is taken back.
do $$
declare
    thing record;
begin
    for thing in
        select p.oid::regprocedure as name
        from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname like 'sitniks\_%'
    loop
        execute format('revoke all on function %s from public, anon, authenticated', thing.name);
        execute format('grant execute on function %s to service_role', thing.name);
    end loop;
end $$;

notify pgrst, 'reload schema';
