-- Two functions that know no rule: `sitniks_view` shows rows, `sitniks_commit` writes them if they are what was seen.
-- The rules are in mirt_sitniks/core. A row's version is its xmin, so that everybody who writes counts: an earlier
-- version's functions, the original's upserts, a hand in the table editor. Times are ISO 8601.
-- An earlier version's functions stay where they are, for processes that still call them.

-- Who has promised to look for due work next, and when: the others need not look before.
alter table public.sitniks_keys
    add column if not exists lookout_at timestamptz not null default 'epoch',
    add column if not exists lookout_by text not null default '';

-- What has no column of its own; an earlier version leaves it alone.
alter table public.sitniks_keys add column if not exists details jsonb not null default '{}';
-- Rows belong to an account: several can share one database.
alter table public.sitniks_chat_mappings
    add column if not exists details jsonb not null default '{}',
    -- There is something to do beside its stages; an earlier version passes it over.
    add column if not exists aside boolean not null default false,
    add column if not exists account text not null default 'main';
alter table public.sitniks_directory
    add column if not exists details jsonb not null default '{}',
    add column if not exists account text not null default 'main';

-- Who waits for a chat has a search: page by page. All others can be worked on, also who has a chat yet to be read.
create index if not exists sitniks_mappings_waiting on public.sitniks_chat_mappings (account, user_id)
    where pending and search_since is not null;
create index if not exists sitniks_mappings_turns on public.sitniks_chat_mappings (account, urgent_at, intent_order)
    where (pending or aside) and search_since is null;
create index if not exists sitniks_mappings_work on public.sitniks_chat_mappings (account, ready_at)
    where (pending or aside) and search_since is null;
create index if not exists sitniks_mappings_lost on public.sitniks_chat_mappings (account, search_since)
    where not pending and search_since is not null and closed is null;
create index if not exists sitniks_mappings_voices on public.sitniks_chat_mappings (updated_at) where details ? 'voices';

-- The upgrade is done: the triggers that were switched off for it work again.
do $$
declare
    one record;
begin
    for one in
        select tgname as name, replace(told, ' (off for an upgrade)', '') as told
        from pg_catalog.pg_trigger, obj_description(oid, 'pg_trigger') as told
        where tgrelid = 'public.sitniks_chat_mappings'::regclass and told like '% (off for an upgrade)'
    loop
        execute format('alter table public.sitniks_chat_mappings enable trigger %I', one.name);
        execute format(
            'comment on trigger %I on public.sitniks_chat_mappings is %L', one.name, nullif(one.told, '')
        );
    end loop;
end $$;

-- The store's clock.
create or replace function public.sitniks_now() returns timestamptz
language sql volatile security invoker set search_path = '' as $$
    select clock_timestamp();
$$;

-- What keeps a migration that runs beside a verb from waiting for it while the verb waits for the migration: most lock
-- the keys before the mappings, and so does this; the one that made the ledger locks that before the keys. So nobody
-- waits for the ledger for long with the keys in his hands: his verb begins anew.
create or replace function public.sitniks_locks() returns void
language plpgsql volatile security invoker set search_path = '' as $$
begin
    lock table public.sitniks_keys in access share mode;
    perform set_config('lock_timeout', '300ms', true);
    lock table public.sitniks_ledger, public.sitniks_directory in access share mode;
    perform set_config('lock_timeout', '2s', true);
end $$;

-- What a verb has to see, in one snapshot: its own sessions; whoever has a chat or a user name in common with them; the
-- most urgent that are due and the next that will be; a page of those who wait for a chat, and sums of those who are
-- not shown themselves; with such a page those whose search was given up lately; the key; the directory's hits.
create or replace function public.sitniks_view(request jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = '' set lock_timeout = '2s' as $$
declare
    tick timestamptz := public.sitniks_now();
    -- More than a verb takes, and than a window of the budget has calls.
    most integer := coalesce((request ->> 'due')::integer, 0) + 12;
    tenant text := coalesce(request ->> 'account', 'main');
    -- Seconds since 1970; who was at work of late and whom the watch has not seen since then is shown.
    unseen double precision;
begin
    perform public.sitniks_locks();
    if (request ->> 'hold')::double precision > 0 then
        select (details -> 'watch' ->> 'unlisted_since')::double precision into unseen
        from public.sitniks_keys where key = request ->> 'key';
    end if;
    return (
        with work as not materialized (
            select ctid as place, * from public.sitniks_chat_mappings
            where account = tenant and (pending or aside) and search_since is null
        ), unfound as not materialized (
            select ctid as place, * from public.sitniks_chat_mappings
            where account = tenant and pending and search_since is not null
        ), lost as not materialized (
            select ctid as place, * from public.sitniks_chat_mappings
            where account = tenant and not pending and search_since is not null and closed is null
        ), mine as (
            select ctid as place, * from public.sitniks_chat_mappings
            where is_current and user_id = any (array(select jsonb_array_elements_text(request -> 'sessions')))
        ), page as (
            select * from unfound where user_id > request ->> 'after'
            order by user_id limit (request ->> 'waiting')::integer
        ), late as (
            select * from lost where (request ->> 'waiting')::integer > 0 and search_since > tick - interval '7 days'
            order by search_since desc limit 500
        ), unlisted as (
            select m.ctid as place, m.user_id from public.sitniks_chat_mappings m
            where unseen is not null and m.account = tenant and m.is_current and m.closed is null
                and m.sitniks_chat_id is not null
                and m.updated_at > tick - make_interval(secs => (request ->> 'hold')::double precision)
                and greatest(
                    (m.details ->> 'looked_at')::double precision, (m.details ->> 'seen_at')::double precision,
                    (m.details ->> 'hinted_at')::double precision, 0
                ) < unseen
                and not exists (
                    select from public.sitniks_directory d where d.chat_id = m.sitniks_chat_id
                        and d.account = tenant and d.seen_at >= to_timestamp(unseen)
                )
            order by m.user_id limit 20
        ), listed as (
            select * from public.sitniks_directory
            where account = tenant
                and chat_id = any (array(select jsonb_array_elements_text(request -> 'chats')))
        ), told as (
            select jsonb_array_elements_text(request -> 'told')
        ), names as (
            select unnest(array[instagram_username, telegram_username])
            from (table mine union all table page union all table late) as shown
            union select jsonb_array_elements_text(request -> 'names')
            union table told
        ), hits as (
            select * from public.sitniks_directory where account = tenant and nickname = any (array(table names))
            union select * from listed
        ), chats as (
            select chat_id from hits
            union select sitniks_chat_id from mine
            union select details ->> 'candidate' from mine
            union select jsonb_array_elements_text(request -> 'chats')
        ), found as (
            select place from mine
            union select place from page
            union select place from late
            union select place from unlisted
            union select ctid from public.sitniks_chat_mappings
            where sitniks_chat_id = any (array(table chats)) or sitniks_chat_id is not null and account = tenant
                and (instagram_username = any (array(table names)) or telegram_username = any (array(table names)))
            union select place from lost
            where instagram_username = any (array(table names)) or telegram_username = any (array(table names))
            -- Who waits for a name that is told now.
            union select place from unfound
            where instagram_username = any (array(table told)) or telegram_username = any (array(table told))
            union (select place from work where ready_at <= tick order by urgent_at, intent_order limit most)
            union (select place from work order by ready_at limit most)
        ), waits as (
            select
                user_id, search_attempt, coalesce(search_since, tick) as since, urgent_at, ready_at,
                ready_at <= tick as due
            from unfound u where not exists (select from found f where f.place = u.place)
        )
        select jsonb_build_object(
            'now', tick,
            'key', (
                select to_jsonb(k) || jsonb_build_object('version', k.xmin::text)
                from public.sitniks_keys k where k.key = request ->> 'key'
            ),
            'records', (
                select coalesce(jsonb_agg(
                    to_jsonb(m) - array['id', 'created_at', 'is_current', 'pending', 'aside', 'ready_at', 'account']
                        || jsonb_build_object('version', m.xmin::text)
                ), '[]')
                from public.sitniks_chat_mappings m where m.ctid = any (array(table found)) and m.is_current
            ),
            -- The account's people, as its keys listed them last.
            'managers', (
                select k.details -> 'managers' from public.sitniks_keys k
                where jsonb_array_length(k.details -> 'managers') > 0 and k.details ->> 'account' = tenant
                order by (k.details -> 'listed_at')::double precision desc limit 1
            ),
            'unlisted', (select coalesce(jsonb_agg(user_id order by user_id), '[]') from unlisted),
            'contacts', (select coalesce(jsonb_agg(to_jsonb(h)), '[]') from hits h),
            'waiting', (
                select jsonb_build_object(
                    'urgent_at', min(urgent_at) filter (where due),
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
                select max(generation) from public.sitniks_ledger
                where kind in ('intent', 'also') and session = request ->> 'session'
                    and key = any (array(select jsonb_array_elements_text(request -> 'intents')))
            ),
            'order', case when request ->> 'session' is not null
                then nextval(pg_get_serial_sequence('public.sitniks_ledger', 'id')) end
        )
    );
end $$;

-- Writes all or nothing: `done` is false when one of the rows is no more what was seen, or somebody was in the way.
-- Answers with the view that comes next. Locks in one order: the key, records (who loses a chat before who gets it,
-- then by session), directory.
create or replace function public.sitniks_commit(request jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = '' set lock_timeout = '2s' as $$
declare
    one jsonb := request -> 'key';
    done boolean := true;
begin
    perform public.sitniks_locks();
    begin
        if jsonb_typeof(one) = 'object' then
            if one ->> 'version' is null then
                insert into public.sitniks_keys (key) values (one ->> 'key');
            end if;
            update public.sitniks_keys k
            set (grants, lock_code, locked_until, scan, scan_until, scan_due, scan_failures, scans, wide, lookout_at,
                lookout_by, details)
                = (select grants, lock_code, locked_until, scan, scan_until, scan_due, scan_failures, scans, wide,
                lookout_at, lookout_by, details from jsonb_populate_record(k, one))
            where k.key = one ->> 'key' and (
                k.xmin::text = coalesce(one ->> 'version', k.xmin::text)
                -- Who only begins to wait minds no more than whether a scan has ended or begun.
                or (k.scans, k.scan is not null) = ((one ->> 'scans')::integer, (one ->> 'scanning')::boolean)
            );
            if not found then raise serialization_failure; end if;
        end if;
        for one in
            select value from jsonb_array_elements(request -> 'records')
            order by value ->> 'sitniks_chat_id' is not null, value ->> 'user_id'
        loop
            if one ->> 'version' is null then
                insert into public.sitniks_chat_mappings (user_id, account)
                values (one ->> 'user_id', coalesce(request ->> 'account', 'main'));
            end if;
            update public.sitniks_chat_mappings m
            set (instagram_username, telegram_username, sitniks_chat_id, sitniks_manager_id, current_status,
                first_touch_at, generation, stage, intent, intent_order, asked_at, want_status, want_status_gen,
                want_manager, want_manager_gen, status_gen, manager_gen, doubt_gen, doubt_until, doubt_looked, parked,
                attempt, due_at, error_code, error_message, search_since, search_attempt, urgent_at, lease_token,
                lease_until, closed, pending, aside, details, updated_at)
                = (select instagram_username, telegram_username, sitniks_chat_id, sitniks_manager_id, current_status,
                first_touch_at, generation, stage, intent, intent_order, asked_at, want_status, want_status_gen,
                want_manager, want_manager_gen, status_gen, manager_gen, doubt_gen, doubt_until, doubt_looked, parked,
                attempt, due_at, error_code, error_message, search_since, search_attempt, urgent_at, lease_token,
                lease_until, closed, pending, aside, details, public.sitniks_now() from jsonb_populate_record(m, one))
            where m.user_id = one ->> 'user_id' and m.is_current
                and m.xmin::text = coalesce(one ->> 'version', m.xmin::text);
            if not found then raise serialization_failure; end if;
        end loop;
        -- Who is in use by somebody else comes by himself.
        update public.sitniks_chat_mappings set due_at = public.sitniks_now()
        where ctid = any (array(
            select ctid from public.sitniks_chat_mappings
            where pending and sitniks_chat_id is not null and due_at > public.sitniks_now()
                and error_code = any (array(select jsonb_array_elements_text(request -> 'woken')))
            for update skip locked
        ));
        insert into public.sitniks_ledger (id, session, kind, key, stage, generation, who, at, before, after)
        select
            coalesce(id, nextval(pg_get_serial_sequence('public.sitniks_ledger', 'id'))),
            session, kind, key, stage, generation, who, at, before, after
        from jsonb_populate_recordset(null::public.sitniks_ledger, request -> 'lines');
        delete from public.sitniks_directory
        where chat_id = any (array(select jsonb_array_elements_text(request -> 'dropped')));
        insert into public.sitniks_directory (chat_id, nickname, source, user_id, last_message_at, status, manager_id,
            seen_at, details, account)
        select chat_id, nickname, source, user_id, last_message_at, status, manager_id, seen_at, details,
            coalesce(request ->> 'account', 'main')
        from jsonb_populate_recordset(null::public.sitniks_directory, request -> 'contacts')
        order by chat_id
        on conflict (chat_id) do update
        set (nickname, source, user_id, last_message_at, status, manager_id, seen_at, details, account)
            = (excluded.nickname, excluded.source, excluded.user_id, excluded.last_message_at, excluded.status,
            excluded.manager_id, excluded.seen_at, excluded.details, excluded.account);
    exception when serialization_failure or unique_violation or deadlock_detected or lock_not_available then
        done := false;
    end;
    return jsonb_build_object(
        'done', done, 'view', public.sitniks_view(case when done then request -> 'next' else request -> 'again' end)
    );
end $$;

-- Erases one customer from every table and the directory; of his orders stays what keeps them from being made again.
-- Returns how many rows that were.
create or replace function public.sitniks_forget(request jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = '' set lock_timeout = '2s' as $$
declare
    erased bigint;
    chat text;
begin
    perform public.sitniks_locks();
    perform from public.sitniks_keys order by key for update;
    select sitniks_chat_id into chat from public.sitniks_chat_mappings
    where user_id = request ->> 'session' and sitniks_chat_id is not null limit 1;
    -- What was counted as an auto-reply there.
    update public.sitniks_keys set details = details || jsonb_build_object('repeats', (
        select coalesce(jsonb_agg(one), '[]') from jsonb_array_elements(details -> 'repeats') as one
        where not exists (select from jsonb_array_elements(one -> 'chats') as seen where seen ->> 0 = chat)
    )) where jsonb_path_exists(
        details -> 'repeats', '$[*].chats[*] ? (@[0] == $chat)', jsonb_build_object('chat', chat));
    with gone as (
        delete from public.sitniks_chat_mappings where user_id = request ->> 'session' returning *
    ), listed as (
        delete from public.sitniks_directory
        where chat_id = any (array(select sitniks_chat_id from gone))
            or nickname = any (array(select unnest(array[instagram_username, telegram_username]) from gone))
        returning 1
    ), lines as (
        delete from public.sitniks_ledger where session = request ->> 'session' returning 1
    ), orders as (
        update public.sitniks_orders
        set digest = '', body = '{}', session = null, chat_id = null, due_at = null, attempt = 0, sent_at = null,
            unconfirmed_until = null, error_code = null, error_message = null, candidates = '[]', lease_by = '',
            lease_until = 'epoch', version = version + 1, updated_at = public.sitniks_now(), written_by = ''
        where session = request ->> 'session' or chat_id = any (array(select sitniks_chat_id from gone)) returning 1
    )
    select (select count(*) from gone) + (select count(*) from listed) + (select count(*) from lines)
        + (select count(*) from orders) into erased;
    return to_jsonb(erased);
end $$;

-- Deletes what is converged or ended and was not touched for `older_than` seconds; rows that are in use stay for the next time.
create or replace function public.sitniks_prune(request jsonb) returns jsonb
-- Planned anew each time: what is older than the cutoff is nearly nothing once, and nearly all another time.
language plpgsql volatile security invoker
set search_path = '' set lock_timeout = '2s' set plan_cache_mode = force_custom_plan as $$
declare
    cutoff timestamptz := public.sitniks_now() - make_interval(secs => (request ->> 'older_than')::double precision);
    erased bigint;
begin
    perform public.sitniks_locks();
    with gone as (
        delete from public.sitniks_chat_mappings where id in (
            select id from public.sitniks_chat_mappings where not pending and not aside and updated_at < cutoff
                and coalesce((request -> 'records')::boolean, true) for update skip locked
        ) returning 1
    ), listed as (
        delete from public.sitniks_directory where chat_id in (
            select chat_id from public.sitniks_directory where seen_at < cutoff for update skip locked
        ) returning 1
    ), lines as (
        delete from public.sitniks_ledger where at < cutoff returning 1
    ), orders as (
        delete from public.sitniks_orders where ctid = any (array(
            select ctid from public.sitniks_orders where due_at is null and updated_at < cutoff for update skip locked
        )) returning 1
    )
    select (select count(*) from gone) + (select count(*) from listed) + (select count(*) from lines)
        + (select count(*) from orders) into erased;
    update public.sitniks_chat_mappings set details = details - 'voices' where id in (
        select id from public.sitniks_chat_mappings
        where details ? 'voices' and updated_at < cutoff for update skip locked
    );
    return to_jsonb(erased);
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
        'directory', (select count(*) from public.sitniks_directory),
        'orders', (select count(*) from public.sitniks_orders)
    );
$$;

-- Three lists of names: what is missing, what this role may not do, what strangers may do; and the schema's version for
-- who asks for it: an earlier version's processes know lists only.
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
                has_table_privilege(role, relation, wish), has_function_privilege(role, routine, 'execute')
            ) as may
        from named, (values (current_user::text), ('anon'), ('authenticated')) as roles (role),
            (values ('select'), ('insert'), ('update'), ('delete')) as wishes (wish)
        where to_regrole(role) is not null
    )
    select jsonb_build_object(
        'missing', coalesce(jsonb_agg(distinct name) filter (where missing), '[]'),
        'denied', coalesce(jsonb_agg(distinct name) filter (where role = current_user and not may), '[]'),
        'open', coalesce(jsonb_agg(distinct name) filter (where role <> current_user and may), '[]')
    ) || case when request ? 'version' then '{"version": 2}' else '{}'::jsonb end
    from rights;
$$;

-- Functions are everybody's until that is taken back.
revoke all on function public.sitniks_now(), public.sitniks_locks(), public.sitniks_view(jsonb),
    public.sitniks_commit(jsonb), public.sitniks_forget(jsonb), public.sitniks_prune(jsonb), public.sitniks_counts(jsonb), public.sitniks_check(jsonb)
    from public, anon, authenticated;
grant execute on function public.sitniks_now(), public.sitniks_locks(), public.sitniks_view(jsonb),
    public.sitniks_commit(jsonb), public.sitniks_forget(jsonb), public.sitniks_prune(jsonb), public.sitniks_counts(jsonb), public.sitniks_check(jsonb)
    to service_role;

notify pgrst, 'reload schema';
