-- Keys before mappings, in the order of the verbs that may run beside this.
do $$ begin lock table public.sitniks_keys in access exclusive mode; end $$;

-- Brings the mappings to what the functions need, whichever way the original's SQL made them. No row is deleted.

-- Column types. Times without a zone are UTC.
do $$
declare
    col record;
begin
    perform set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO', true);
    for col in
        select w.name, w.type
        from (values
            ('user_id', 'text'), ('instagram_username', 'text'), ('telegram_username', 'text'),
            ('sitniks_chat_id', 'text'), ('sitniks_manager_id', 'bigint'), ('current_status', 'text'),
            ('first_touch_at', 'timestamp with time zone'), ('created_at', 'timestamp with time zone'),
            ('updated_at', 'timestamp with time zone')
        ) as w (name, type)
        left join pg_catalog.pg_attribute a
            on a.attrelid = 'public.sitniks_chat_mappings'::regclass and a.attname = w.name and not a.attisdropped
        where a.attname is null or format_type(a.atttypid, a.atttypmod) <> w.type
    loop
        execute format('alter table public.sitniks_chat_mappings add column if not exists %I %s', col.name, col.type);
        execute format('alter table public.sitniks_chat_mappings alter column %I drop default', col.name);
        execute format(
            case col.type
                when 'text' then 'alter table public.sitniks_chat_mappings alter column %1$I type text using %1$I::text'
                when 'bigint' then 'alter table public.sitniks_chat_mappings alter column %1$I type bigint using '
                    'case when btrim(%1$I::text) ~ ''^[0-9]{1,18}$'' then btrim(%1$I::text)::bigint end'
                else 'alter table public.sitniks_chat_mappings alter column %1$I type timestamptz using '
                    'nullif(btrim(%1$I::text), '''')::timestamptz'
            end,
            col.name
        );
    end loop;
end $$;

-- New rows number themselves, whatever type the id has.
do $$
declare
    kind text;
begin
    select format_type(atttypid, null) into kind
    from pg_catalog.pg_attribute
    where attrelid = 'public.sitniks_chat_mappings'::regclass and attname = 'id' and not atthasdef and attidentity = '';
    if kind = 'uuid' then
        alter table public.sitniks_chat_mappings alter column id set default gen_random_uuid();
    elsif kind in ('text', 'character varying') then
        alter table public.sitniks_chat_mappings alter column id set default gen_random_uuid()::text;
    elsif kind in ('smallint', 'integer', 'bigint', 'numeric') then
        create sequence if not exists public.sitniks_chat_mappings_id_seq owned by public.sitniks_chat_mappings.id;
        perform setval('public.sitniks_chat_mappings_id_seq', coalesce(max(id), 0) + 1, false)
        from public.sitniks_chat_mappings;
        alter table public.sitniks_chat_mappings
            alter column id set default nextval('public.sitniks_chat_mappings_id_seq');
    end if;
    update public.sitniks_chat_mappings set id = default where id is null;
    if not exists (
        select from pg_catalog.pg_constraint where conrelid = 'public.sitniks_chat_mappings'::regclass and contype = 'p'
    ) then
        alter table public.sitniks_chat_mappings add primary key (id);
    end if;
end $$;

alter table public.sitniks_chat_mappings
    alter column created_at set default now(),
    alter column updated_at set default now(),
    -- false: an older row of a session that has a newer one
    add column if not exists is_current boolean not null default true,
    -- desired: written by recording an intent
    add column if not exists generation integer not null default 0,
    add column if not exists stage text,
    add column if not exists intent text,
    add column if not exists intent_order bigint not null default 0,
    add column if not exists asked_at timestamptz not null default 'epoch',
    add column if not exists want_status text,
    add column if not exists want_status_gen integer not null default 0,
    add column if not exists want_manager text,
    add column if not exists want_manager_gen integer not null default 0,
    -- observed: written by the holder of the lease
    add column if not exists status_gen integer not null default 0,
    add column if not exists manager_gen integer not null default 0,
    add column if not exists doubt_gen integer,
    add column if not exists doubt_until timestamptz,
    add column if not exists doubt_looked boolean,
    add column if not exists parked integer not null default 0,
    add column if not exists attempt integer not null default 0,
    add column if not exists due_at timestamptz not null default 'epoch',
    add column if not exists error_code text,
    add column if not exists error_message text,
    -- work
    add column if not exists search_since timestamptz,
    add column if not exists search_attempt integer not null default 0,
    add column if not exists urgent_at timestamptz not null default 'epoch',
    add column if not exists lease_token integer not null default 0,
    add column if not exists lease_until timestamptz not null default 'epoch',
    add column if not exists closed text,
    add column if not exists pending boolean not null default false,
    add column if not exists ready_at timestamptz generated always as (greatest(due_at, lease_until)) stored;

-- User names as they are compared: without @, in lower case.
update public.sitniks_chat_mappings
set instagram_username = nullif(lower(ltrim(btrim(instagram_username), '@')), ''),
    telegram_username = nullif(lower(ltrim(btrim(telegram_username), '@')), '')
where instagram_username is distinct from nullif(lower(ltrim(btrim(instagram_username), '@')), '')
    or telegram_username is distinct from nullif(lower(ltrim(btrim(telegram_username), '@')), '');

-- One current row per session and one per chat: the newest. The others are closed and lose their chat; what they had
-- is written to the ledger.
do $$
begin
    create temp table sitniks_rows as
    with trimmed as (
        select
            id, coalesce(user_id, id::text) as session, nullif(btrim(sitniks_chat_id, E' \t\r\n'), '') as chat,
            row_number() over (order by updated_at desc nulls last, created_at desc nulls last, id desc) as age
        from public.sitniks_chat_mappings
        where is_current
    ), sessions as (
        select
            id, age,
            row_number() over (partition by session order by age) as place,
            -- The session's chat may stand in an older row only.
            first_value(chat) over (partition by session order by chat is null, age) as chat
        from trimmed
    ), currents as (
        select id, chat, row_number() over (partition by chat order by age) as place from sessions where place = 1
    )
    select
        s.id,
        s.place = 1 as is_current,
        c.chat,
        s.place > 1 or (c.chat is not null and c.place > 1) as loses
    from sessions s left join currents c on c.id = s.id;

    insert into public.sitniks_ledger (session, kind, generation, who, at, before, after)
    select
        coalesce(m.user_id, m.id::text), 'outcome', m.generation, 'migration', now(),
        jsonb_build_object(
            'chat_id', m.sitniks_chat_id, 'status', m.current_status, 'manager_id', m.sitniks_manager_id, 'error', null
        ),
        jsonb_build_object('chat_id', null, 'status', null, 'manager_id', null, 'error', null)
    from public.sitniks_chat_mappings m join sitniks_rows r on r.id = m.id
    where r.loses;

    update public.sitniks_chat_mappings m
    set is_current = r.is_current, closed = 'superseded', sitniks_chat_id = null, pending = false
    from sitniks_rows r
    where r.id = m.id and r.loses;

    -- After the losers, because the chat is unique.
    update public.sitniks_chat_mappings m
    set sitniks_chat_id = r.chat
    from sitniks_rows r
    where r.id = m.id and not r.loses and m.sitniks_chat_id is distinct from r.chat;
    drop table sitniks_rows;
    update public.sitniks_chat_mappings set updated_at = coalesce(created_at, now()) where updated_at is null;

    if not exists (
        select from pg_catalog.pg_index i
        join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
        where i.indrelid = 'public.sitniks_chat_mappings'::regclass and i.indisunique and i.indisvalid
            and i.indnkeyatts = 1 and i.indpred is null and a.attname = 'sitniks_chat_id'
    ) then
        create unique index sitniks_mappings_chat on public.sitniks_chat_mappings (sitniks_chat_id);
    end if;
end $$;

create unique index if not exists sitniks_mappings_session on public.sitniks_chat_mappings (user_id) where is_current;
create index if not exists sitniks_mappings_sessions on public.sitniks_chat_mappings (user_id);
create index if not exists sitniks_mappings_instagram on public.sitniks_chat_mappings (instagram_username)
    where instagram_username is not null;
create index if not exists sitniks_mappings_telegram on public.sitniks_chat_mappings (telegram_username)
    where telegram_username is not null;
create index if not exists sitniks_mappings_due on public.sitniks_chat_mappings (urgent_at, intent_order)
    where pending and sitniks_chat_id is not null;
create index if not exists sitniks_mappings_ready on public.sitniks_chat_mappings (ready_at)
    where pending and sitniks_chat_id is not null;
create index if not exists sitniks_mappings_unfound on public.sitniks_chat_mappings (urgent_at, intent_order)
    where pending and sitniks_chat_id is null;
create index if not exists sitniks_mappings_age on public.sitniks_chat_mappings (updated_at) where not pending;
