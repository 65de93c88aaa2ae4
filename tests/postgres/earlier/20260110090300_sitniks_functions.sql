-- What a store does, one function a verb: each is one transaction of one round trip, takes and gives JSON.
-- The rules are those of mirt_sitniks/stores/rules.py, and one contract suite holds both to it. Their numbers come in
-- with `terms`. Times in JSON are seconds since 1970; `tick` is the time of the transaction on the database's clock.
-- Locks are taken in one order: the key's row, then mappings, then the directory.

-- The store's clock. Read after the key's row is locked, so it is not the time at which the transaction began.
create or replace function public.sitniks_now() returns timestamptz
language sql volatile security invoker set search_path = '' as $$
    select clock_timestamp();
$$;

-- ---------------------------------------------------------------------------------------------------------- values

create or replace function public.sitniks_seconds(at timestamptz) returns numeric
language sql immutable security invoker set search_path = '' as $$
    select extract(epoch from at);
$$;

create or replace function public.sitniks_time(value jsonb) returns timestamptz
language sql immutable security invoker set search_path = '' as $$
    select to_timestamp((value #>> '{}')::double precision);
$$;

create or replace function public.sitniks_span(value jsonb) returns interval
language sql immutable security invoker set search_path = '' as $$
    select make_interval(secs => (value #>> '{}')::double precision);
$$;

-- A mapping as JSON: its columns, with times as seconds.
create or replace function public.sitniks_json(m public.sitniks_chat_mappings) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select to_jsonb(m) || jsonb_build_object(
        'first_touch_at', public.sitniks_seconds(m.first_touch_at),
        'asked_at', public.sitniks_seconds(m.asked_at),
        'doubt_until', public.sitniks_seconds(m.doubt_until),
        'due_at', public.sitniks_seconds(m.due_at),
        'search_since', public.sitniks_seconds(m.search_since),
        'urgent_at', public.sitniks_seconds(m.urgent_at),
        'lease_until', public.sitniks_seconds(m.lease_until)
    )
    where m.id is not null;
$$;

-- What the ledger says of a mapping before and after an outcome.
create or replace function public.sitniks_line(m public.sitniks_chat_mappings) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object(
        'chat_id', m.sitniks_chat_id,
        'status', case when m.status_gen > 0 then m.current_status end,
        'manager_id', case when m.manager_gen > 0 then m.sitniks_manager_id end,
        'error', coalesce(m.closed, m.error_code)
    );
$$;

-- What of a mapping is worth a line in the ledger when it changes.
create or replace function public.sitniks_story(m public.sitniks_chat_mappings) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_array(
        m.sitniks_chat_id, m.current_status, m.status_gen, m.sitniks_manager_id, m.manager_gen, m.doubt_gen is null,
        m.parked, m.error_code, m.error_message, m.closed
    );
$$;

-- Gives the ledger a line of what came out, if anything did.
create or replace function public.sitniks_tell(
    old public.sitniks_chat_mappings, m public.sitniks_chat_mappings, terms jsonb, tick timestamptz
) returns void
language sql volatile security invoker set search_path = '' as $$
    insert into public.sitniks_ledger (session, kind, stage, generation, who, at, before, after)
    select
        m.user_id, 'outcome', m.stage, m.generation, terms ->> 'who', tick,
        public.sitniks_line(old), public.sitniks_line(m)
    where public.sitniks_story(m) <> public.sitniks_story(old);
$$;

-- Whether anything is left to be done for a mapping.
create or replace function public.sitniks_pending(m public.sitniks_chat_mappings) returns boolean
language sql immutable security invoker set search_path = '' as $$
    select m.closed is null and m.generation > m.parked and (
        m.status_gen < m.want_status_gen
        or m.manager_gen < m.want_manager_gen
        or coalesce(m.doubt_gen <> greatest(m.want_status_gen, m.want_manager_gen), false)
    );
$$;

-- How many calls the next round of a mapping whose chat is known sends side by side.
create or replace function public.sitniks_need(m public.sitniks_chat_mappings) returns integer
language sql immutable security invoker set search_path = '' as $$
    select greatest(1, (m.status_gen < m.want_status_gen)::integer + (m.manager_gen < m.want_manager_gen)::integer);
$$;

create or replace function public.sitniks_head_start(terms jsonb, stage text) returns interval
language sql immutable security invoker set search_path = '' as $$
    select coalesce(public.sitniks_span(terms -> 'head_starts' -> stage), '0');
$$;

-- ------------------------------------------------------------------------------------------------------------ rows

-- The key's row, locked.
create or replace function public.sitniks_key(terms jsonb) returns public.sitniks_keys
language plpgsql volatile security invoker set search_path = '' as $$
declare
    k public.sitniks_keys;
begin
    select * into k from public.sitniks_keys where key = terms ->> 'key' for update;
    if not found then
        insert into public.sitniks_keys (key) values (terms ->> 'key') on conflict (key) do nothing;
        select * into k from public.sitniks_keys where key = terms ->> 'key' for update;
    end if;
    return k;
end $$;

create or replace function public.sitniks_put_key(k public.sitniks_keys) returns void
language sql volatile security invoker set search_path = '' as $$
    update public.sitniks_keys
    set grants = k.grants, lock_code = k.lock_code, locked_until = k.locked_until, scan = k.scan,
        scan_until = k.scan_until, scan_due = k.scan_due, scan_failures = k.scan_failures, scans = k.scans,
        wide = k.wide, aged_at = k.aged_at
    where key = k.key;
$$;

-- Writes a mapping that was read for update, and returns it as it now is.
create or replace function public.sitniks_put(m public.sitniks_chat_mappings, tick timestamptz)
returns public.sitniks_chat_mappings
language sql volatile security invoker set search_path = '' as $$
    update public.sitniks_chat_mappings
    set instagram_username = m.instagram_username, telegram_username = m.telegram_username,
        sitniks_chat_id = m.sitniks_chat_id, sitniks_manager_id = m.sitniks_manager_id,
        current_status = m.current_status, first_touch_at = m.first_touch_at, updated_at = tick,
        generation = m.generation, stage = m.stage, intent = m.intent, intent_order = m.intent_order,
        asked_at = m.asked_at, want_status = m.want_status, want_status_gen = m.want_status_gen,
        want_manager = m.want_manager, want_manager_gen = m.want_manager_gen, status_gen = m.status_gen,
        manager_gen = m.manager_gen, doubt_gen = m.doubt_gen, doubt_until = m.doubt_until,
        doubt_looked = m.doubt_looked, parked = m.parked, attempt = m.attempt, due_at = m.due_at,
        error_code = m.error_code, error_message = m.error_message, search_since = m.search_since,
        search_attempt = m.search_attempt, urgent_at = m.urgent_at, lease_token = m.lease_token,
        lease_until = m.lease_until, closed = m.closed, pending = public.sitniks_pending(m)
    where id = m.id
    returning *;
$$;

-- The mapping that has a chat, locked.
create or replace function public.sitniks_by_chat(chat_id text) returns public.sitniks_chat_mappings
language sql volatile security invoker set search_path = '' as $$
    select * from public.sitniks_chat_mappings where sitniks_chat_id = chat_id for update;
$$;

-- ---------------------------------------------------------------------------------------------------------- budget

-- How many calls may be granted now. A key that was refused gets one probe when its rest is over.
create or replace function public.sitniks_free(k public.sitniks_keys, terms jsonb, tick timestamptz) returns integer
language sql stable security invoker set search_path = '' as $$
    select case
        when k.lock_code is not null and tick < k.locked_until then 0
        else greatest(0, least(
            (terms ->> 'calls')::integer
                - (select count(*) from unnest(k.grants) at where at > tick - public.sitniks_span(terms -> 'seconds')),
            case when terms -> 'key_codes' ? k.lock_code then 1 else (terms ->> 'calls')::integer end
        ))
    end::integer;
$$;

-- Grants `calls` calls; a granted probe puts the key to rest again until its answer is in.
create or replace function public.sitniks_take(k public.sitniks_keys, terms jsonb, tick timestamptz, calls integer)
returns public.sitniks_keys
language plpgsql stable security invoker set search_path = '' as $$
begin
    if calls > 0 then
        k.grants := array(
            select at from unnest(k.grants) at where at > tick - public.sitniks_span(terms -> 'seconds')
        ) || array_fill(tick, array[calls]);
        if terms -> 'key_codes' ? k.lock_code then
            k.locked_until := tick + public.sitniks_span(terms -> 'probe');
        end if;
    end if;
    return k;
end $$;

-- Takes back grants that were not used; their slots are free at once, and a probe that was not sent may be.
create or replace function public.sitniks_give_back(k public.sitniks_keys, terms jsonb, unused jsonb)
returns public.sitniks_keys
language plpgsql stable security invoker set search_path = '' as $$
declare
    probe interval := public.sitniks_span(terms -> 'probe');
    value jsonb;
    granted timestamptz;
    place integer;
begin
    for value in select * from jsonb_array_elements(unused) loop
        granted := public.sitniks_time(value);
        place := array_position(k.grants, granted);
        if place is not null then
            k.grants := k.grants[:place - 1] || k.grants[place + 1:];
            if terms -> 'key_codes' ? k.lock_code and k.locked_until = granted + probe then
                k.locked_until := granted;
            end if;
        end if;
    end loop;
    return k;
end $$;

-- Counts grants from a later time on: their calls were on their way for so long.
create or replace function public.sitniks_move(k public.sitniks_keys, late jsonb, arrived timestamptz)
returns public.sitniks_keys
language plpgsql stable security invoker set search_path = '' as $$
declare
    value jsonb;
    place integer;
begin
    for value in select * from jsonb_array_elements(late) loop
        place := array_position(k.grants, public.sitniks_time(value));
        if place is not null then
            k.grants := k.grants[:place - 1] || k.grants[place + 1:] || arrived;
        end if;
    end loop;
    return k;
end $$;

-- What an answer said of the key. A good one ends the lock of a refused key, but no rest after too many calls.
create or replace function public.sitniks_heed(k public.sitniks_keys, terms jsonb, news jsonb, tick timestamptz)
returns public.sitniks_keys
language plpgsql stable security invoker set search_path = '' as $$
declare
    until timestamptz := tick + public.sitniks_span(news -> 'seconds');
begin
    if news ->> 'code' is not null then
        k.locked_until := case when k.lock_code = news ->> 'code' then greatest(until, k.locked_until) else until end;
        k.lock_code := news ->> 'code';
    elsif news is not null and terms -> 'key_codes' ? k.lock_code then
        k.lock_code := null;
        k.locked_until := 'epoch';
    end if;
    return k;
end $$;

-- Seconds until at least one call can be granted.
create or replace function public.sitniks_wait(k public.sitniks_keys, terms jsonb, tick timestamptz) returns numeric
language sql stable security invoker set search_path = '' as $$
    select public.sitniks_seconds(greatest(
        tick,
        case when k.lock_code is not null then k.locked_until end,
        (
            select at + public.sitniks_span(terms -> 'seconds')
            from unnest(k.grants) at
            where at > tick - public.sitniks_span(terms -> 'seconds')
            order by at desc
            offset (terms ->> 'calls')::integer - 1 limit 1
        )
    )) - public.sitniks_seconds(tick);
$$;

-- The key's lock, if it rests: a code and the time it ends.
create or replace function public.sitniks_lock(k public.sitniks_keys, tick timestamptz) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_array(k.lock_code, public.sitniks_seconds(k.locked_until))
    where k.lock_code is not null and tick < k.locked_until;
$$;

-- How many of `want` calls are there for work of this urgency: more urgent work that is due goes first.
create or replace function public.sitniks_room(
    k public.sitniks_keys, terms jsonb, tick timestamptz, urgent timestamptz, want integer
) returns integer
language plpgsql volatile security invoker set search_path = '' as $$
declare
    room integer := public.sitniks_free(k, terms, tick);
begin
    if room > 0 and want > 0 then
        room := room - (
            select count(*)
            from (
                select from public.sitniks_chat_mappings
                where pending and sitniks_chat_id is not null and ready_at <= tick and urgent_at < urgent
                order by urgent_at, intent_order
                limit (terms ->> 'calls')::integer
            ) as ahead
        );
    end if;
    return greatest(0, least(want, room));
end $$;

-- The right to work, as JSON.
create or replace function public.sitniks_claim_json(tick timestamptz, granted integer, record jsonb, scan jsonb)
returns jsonb
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object(
        'record', record,
        'scan', scan,
        'grants', to_jsonb(array_fill(public.sitniks_seconds(tick), array[granted])),
        'now', public.sitniks_seconds(tick)
    );
$$;

-- ----------------------------------------------------------------------------------------------------------- chats

-- The customer's chat, null when there is none, or "ambiguous" when the name belongs to different people.
-- Its channel's own chats count, or those of unknown source when it has none, or else what other sessions of that name
-- have; of two channels the one that fits better, of one person the newest message.
create or replace function public.sitniks_choose(instagram text, telegram text) returns jsonb
language sql stable security invoker set search_path = '' as $$
    with listed as (
        select d.chat_id, d.nickname, d.source, d.user_id, d.last_message_at, d.status, d.manager_id
        from public.sitniks_directory d
        where d.nickname in (instagram, telegram)
    ), named as (
        select
            n.channel, l.*,
            case
                when starts_with(lower(btrim(l.source, E' \t\r\n')), n.channel) then 1
                when coalesce(btrim(l.source, E' \t\r\n'), '') = '' then 2
            end as rank
        from (values ('instagram', instagram), ('telegram', telegram)) as n (channel, name)
        join listed l on l.nickname = n.name
        union all
        select 'instagram', m.sitniks_chat_id, instagram, 'instagram', null, null, null, null, 3
        from public.sitniks_chat_mappings m
        where m.instagram_username = instagram and m.sitniks_chat_id is not null
            and m.sitniks_chat_id not in (select chat_id from listed)
        union all
        select 'telegram', m.sitniks_chat_id, telegram, 'telegram', null, null, null, null, 3
        from public.sitniks_chat_mappings m
        where m.telegram_username = telegram and m.sitniks_chat_id is not null
            and (m.instagram_username = instagram) is not true
            and m.sitniks_chat_id not in (select chat_id from listed)
    ), mine as (
        select w.*
        from named w
        where w.rank = (select min(b.rank) from named b where b.channel = w.channel)
    ), people as (
        select channel, count(distinct coalesce(nullif(user_id, ''), chat_id)) > 1 as several from mine group by channel
    )
    select coalesce(
        (
            select to_jsonb(mine)
            from mine join people using (channel)
            where not people.several
            order by mine.rank, coalesce(mine.last_message_at, '') collate "C" desc, mine.chat_id collate "C" desc
            limit 1
        ),
        (select '"ambiguous"'::jsonb from people where several limit 1)
    );
$$;

-- A mapping that loses its chat: nothing is done for it any more, and whoever drives it is stale.
-- What it knew of the chat goes with it: should the session get a chat again, nothing counts as confirmed.
create or replace function public.sitniks_close(m public.sitniks_chat_mappings, tick timestamptz)
returns public.sitniks_chat_mappings
language plpgsql volatile security invoker set search_path = '' as $$
begin
    m.sitniks_chat_id := null;
    m.closed := 'superseded';
    m.lease_token := m.lease_token + 1;
    m.lease_until := 'epoch';
    m.current_status := null;
    m.status_gen := 0;
    m.sitniks_manager_id := null;
    m.manager_gen := 0;
    m.doubt_gen := null;
    m.doubt_until := null;
    m.doubt_looked := null;
    return public.sitniks_put(m, tick);
end $$;

-- What is not forgotten when a chat is looked for: that it was gone once, for then it is looked for once only.
create or replace function public.sitniks_lasting(m public.sitniks_chat_mappings, terms jsonb)
returns public.sitniks_chat_mappings
language plpgsql stable security invoker set search_path = '' as $$
begin
    if m.error_code is distinct from terms #>> '{not_found,code}' then
        m.error_code := null;
        m.error_message := null;
    end if;
    return m;
end $$;

-- Gives a chat to the session with the newer intent; the other one loses it and closes.
create or replace function public.sitniks_assign(
    m public.sitniks_chat_mappings, terms jsonb, contact jsonb, tick timestamptz
) returns public.sitniks_chat_mappings
language plpgsql volatile security invoker set search_path = '' as $$
declare
    holder public.sitniks_chat_mappings := public.sitniks_by_chat(contact ->> 'chat_id');
    until timestamptz;
begin
    if holder.id <> m.id then
        if holder.intent_order > m.intent_order then
            return public.sitniks_close(m, tick);
        end if;
        perform public.sitniks_tell(holder, public.sitniks_close(holder, tick), terms, tick);
        -- Whoever drives the other session may have a write under way, and may die before it can say so.
        until := greatest(holder.lease_until, holder.doubt_until, m.doubt_until);
        if until > tick then
            m.doubt_gen := 0;
            m.doubt_until := until;
            m.doubt_looked := false;
        end if;
    end if;
    m := public.sitniks_lasting(m, terms);
    m.sitniks_chat_id := contact ->> 'chat_id';
    if m.status_gen = 0 then
        m.current_status := coalesce(nullif(contact ->> 'status', ''), m.current_status);
    end if;
    if m.manager_gen = 0 then
        m.sitniks_manager_id := coalesce(nullif((contact ->> 'manager_id')::bigint, 0), m.sitniks_manager_id);
    end if;
    m.due_at := tick;
    m.search_since := null;
    m.search_attempt := 0;
    return public.sitniks_put(m, tick);
end $$;

-- The scan to work on: the one under way if its holder is gone, else a new one for those who wait; else null.
-- For a while after a wide window was read whole, the directory answers in its place.
create or replace function public.sitniks_open_scan(k public.sitniks_keys, terms jsonb, tick timestamptz) returns jsonb
language plpgsql volatile security invoker set search_path = '' as $$
declare
    stale timestamptz := tick - public.sitniks_span(terms -> 'fresh');
begin
    if tick < k.scan_until or tick < k.scan_due then
        return null;
    end if;
    if public.sitniks_time(k.scan -> 'started') > stale then
        return k.scan || jsonb_build_object('token', k.scans + 1, 'failures', k.scan_failures);
    end if;
    return (
        select jsonb_build_object(
            'token', k.scans + 1,
            'since', public.sitniks_seconds(least(tick, min(
                coalesce(w.search_since, tick)
                - greatest(public.sitniks_span(terms -> 'lookback'), public.sitniks_span(terms -> 'reaches' -> w.reach))
            ))),
            'until', public.sitniks_seconds(tick + public.sitniks_span(terms -> 'slack')),
            'skip', 0,
            'reach', max(w.reach),
            'started', public.sitniks_seconds(tick),
            'failures', k.scan_failures
        )
        from (
            select
                search_since,
                case
                    when search_attempt < jsonb_array_length(terms -> 'reaches')
                        and (search_attempt = 0 or k.wide[search_attempt] <= stale) then search_attempt
                    else 0
                end as reach
            from public.sitniks_chat_mappings
            where pending and sitniks_chat_id is null and ready_at <= tick
        ) as w
        having count(*) > 0
    );
end $$;

create or replace function public.sitniks_hold_scan(k public.sitniks_keys, terms jsonb, scan jsonb, tick timestamptz)
returns public.sitniks_keys
language plpgsql stable security invoker set search_path = '' as $$
begin
    k.scan := scan;
    k.scans := (scan ->> 'token')::integer;
    k.scan_until := tick + public.sitniks_span(terms -> 'lease');
    return k;
end $$;

create or replace function public.sitniks_hold(m public.sitniks_chat_mappings, terms jsonb, tick timestamptz)
returns public.sitniks_chat_mappings
language plpgsql volatile security invoker set search_path = '' as $$
begin
    m.lease_token := m.lease_token + 1;
    m.lease_until := tick + public.sitniks_span(terms -> 'lease');
    return public.sitniks_put(m, tick);
end $$;

-- A waiting mapping after a whole scan: found, ambiguous, or to be looked for again later.
create or replace function public.sitniks_look_up(
    m public.sitniks_chat_mappings, terms jsonb, started timestamptz, tick timestamptz
) returns void
language plpgsql volatile security invoker set search_path = '' as $$
declare
    old public.sitniks_chat_mappings := m;
    contact jsonb := public.sitniks_choose(m.instagram_username, m.telegram_username);
    delay interval;
begin
    if jsonb_typeof(contact) = 'object' then
        perform public.sitniks_tell(old, public.sitniks_assign(m, terms, contact, tick), terms, tick);
        return;
    end if;
    if contact is not null then
        m.parked := m.generation;
        m.error_code := terms #>> '{several,code}';
        m.error_message := terms #>> '{several,message}';
    elsif m.due_at <= started then
        delay := public.sitniks_span(terms -> 'delays' -> m.search_attempt);
        if delay is null then
            m.parked := m.generation;
            m.error_code := terms #>> '{not_found,code}';
            m.error_message := terms #>> '{not_found,message}';
        else
            m := public.sitniks_lasting(m, terms);
            m.search_attempt := m.search_attempt + 1;
            m.due_at := tick + delay;
            m.urgent_at := m.due_at - public.sitniks_head_start(terms, m.stage);
        end if;
    end if;
    perform public.sitniks_tell(old, m, terms, tick);
    if m is distinct from old then
        perform public.sitniks_put(m, tick);
    end if;
end $$;

-- ---------------------------------------------------------------------------------------------------------- record

-- The mapping after a new intent: a later generation, coalesced wishes, due at once, and its chat if it is known.
create or replace function public.sitniks_renew(
    m public.sitniks_chat_mappings, terms jsonb, event jsonb, tick timestamptz
) returns public.sitniks_chat_mappings
language plpgsql volatile security invoker set search_path = '' as $$
declare
    contact jsonb;
begin
    if m.sitniks_chat_id is null and (m.search_since is null or m.parked = m.generation) then
        -- A search that was given up starts again; one under way keeps its first day.
        m.search_since := tick;
        m.search_attempt := 0;
    end if;
    m.generation := m.generation + 1;
    insert into public.sitniks_ledger (session, kind, key, stage, generation, who, at, before, after)
    values (
        m.user_id, 'intent', event ->> 'key', event ->> 'stage', m.generation, terms ->> 'who', tick, '{}',
        case when event ->> 'reason' is null then '{}' else jsonb_build_object('reason', event ->> 'reason') end
    )
    returning id into m.intent_order;
    m.instagram_username := coalesce(event ->> 'instagram', m.instagram_username);
    m.telegram_username := coalesce(event ->> 'telegram', m.telegram_username);
    m.stage := event ->> 'stage';
    m.intent := event ->> 'key';
    m.asked_at := tick;
    m.want_status := m.stage;
    m.want_status_gen := m.generation;
    if event ->> 'role' is not null then
        m.want_manager := event ->> 'role';
        m.want_manager_gen := m.generation;
    elsif m.closed is not null then
        -- A session that lost its chat and gets it back must not repeat what it wanted before others had it.
        m.want_manager := null;
        m.want_manager_gen := 0;
    end if;
    m.attempt := 0;
    m.due_at := tick;
    m.error_code := null;
    m.error_message := null;
    if (event -> 'once')::boolean then
        m.first_touch_at := tick;
    end if;
    -- What still waits keeps its place: a live manager who is to come does not wait like the invoice behind him.
    m.urgent_at := least(
        tick - public.sitniks_head_start(terms, m.stage), case when m.pending then m.urgent_at else tick end
    );
    m.closed := null;
    if m.sitniks_chat_id is null then
        contact := public.sitniks_choose(m.instagram_username, m.telegram_username);
        if jsonb_typeof(contact) = 'object' then
            return public.sitniks_assign(m, terms, contact, tick);
        elsif event ->> 'chat_id' is not null then
            return public.sitniks_assign(m, terms, jsonb_build_object('chat_id', event -> 'chat_id'), tick);
        end if;
    end if;
    return public.sitniks_put(m, tick);
end $$;

-- Logs an intent; a new one raises the generation and takes over the chat its name belongs to.
create or replace function public.sitniks_record(request jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = '' as $$
declare
    terms jsonb := request -> 'terms';
    event jsonb := request -> 'intent';
    k public.sitniks_keys := public.sitniks_key(terms);
    tick timestamptz := public.sitniks_now();
    m public.sitniks_chat_mappings;
    known integer;
    verdict text;
    scan jsonb;
    claim jsonb;
    granted integer;
begin
    select * into m from public.sitniks_chat_mappings where user_id = event ->> 'session' and is_current for update;
    select l.generation into known
    from public.sitniks_ledger l
    where l.session = event ->> 'session' and l.key = event ->> 'key' and l.kind = 'intent';
    verdict := case
        when known = m.generation then 'known'
        when known is not null then 'replay'
        when (event -> 'once')::boolean and m.first_touch_at is not null then 'already_touched'
        when coalesce(
            event ->> 'instagram', event ->> 'telegram', event ->> 'chat_id',
            m.instagram_username, m.telegram_username, m.sitniks_chat_id
        ) is null then 'no_username'
        else 'new'
    end;
    if verdict = 'new' then
        if m.id is null then
            insert into public.sitniks_chat_mappings (user_id, created_at, updated_at)
            values (event ->> 'session', tick, tick)
            on conflict (user_id) where is_current do nothing;
            select * into m from public.sitniks_chat_mappings
            where user_id = event ->> 'session' and is_current for update;
        end if;
        m := public.sitniks_renew(m, terms, event, tick);
    end if;
    if verdict in ('new', 'known') and m.pending and m.ready_at <= tick then
        if m.sitniks_chat_id is null then
            scan := public.sitniks_open_scan(k, terms, tick);
        end if;
        if scan is not null or m.sitniks_chat_id is not null then
            granted := public.sitniks_room(
                k, terms, tick, m.urgent_at,
                least((request ->> 'want')::integer, case when scan is null then public.sitniks_need(m) else 2 end)
            );
            if granted > 0 then
                k := public.sitniks_take(k, terms, tick, granted);
                m := public.sitniks_hold(m, terms, tick);
                if scan is not null then
                    k := public.sitniks_hold_scan(k, terms, scan, tick);
                end if;
                claim := public.sitniks_claim_json(tick, granted, public.sitniks_json(m), scan);
                perform public.sitniks_put_key(k);
            end if;
        end if;
    end if;
    return jsonb_build_object(
        'verdict', verdict,
        'record', public.sitniks_json(m),
        'claim', claim,
        'wait', public.sitniks_wait(k, terms, tick),
        'lock', public.sitniks_lock(k, tick),
        'now', public.sitniks_seconds(tick)
    );
end $$;

-- ----------------------------------------------------------------------------------------------------------- claim

-- The most urgent sessions that are due, asked for `after` a time; of those who wait for a scan the first, if there is
-- one to be had.
create or replace function public.sitniks_due(tick timestamptz, after timestamptz, scanning boolean, most integer)
returns table (session text, urgent timestamptz)
language sql stable security invoker set search_path = '' as $$
    select due.user_id, due.urgent_at
    from (
        (
            select user_id, urgent_at, intent_order, false as searching
            from public.sitniks_chat_mappings
            where pending and sitniks_chat_id is not null and ready_at <= tick and urgent_at > after
            order by urgent_at, intent_order
            limit most
        )
        union all
        (
            select user_id, urgent_at, intent_order, true
            from public.sitniks_chat_mappings
            where pending and sitniks_chat_id is null and ready_at <= tick and urgent_at > after and scanning
            order by urgent_at, intent_order
            limit 1
        )
    ) as due
    order by due.urgent_at, due.searching, due.intent_order
    limit most;
$$;

-- Seconds until a claim can bring something: the next due mapping or scan, and a slot for it; null when all is done.
create or replace function public.sitniks_more(k public.sitniks_keys, terms jsonb, tick timestamptz) returns numeric
language sql stable security invoker set search_path = '' as $$
    select greatest(public.sitniks_seconds(next.at) - public.sitniks_seconds(tick), public.sitniks_wait(k, terms, tick))
    from (
        select least(
            (
                select ready_at from public.sitniks_chat_mappings
                where pending and sitniks_chat_id is not null
                order by ready_at limit 1
            ),
            (
                select greatest(min(ready_at), k.scan_until, k.scan_due) from public.sitniks_chat_mappings
                where pending and sitniks_chat_id is null
                having count(*) > 0
            )
        ) as at
    ) as next
    where next.at is not null;
$$;

-- Takes due work, the most urgent first, while there are calls for it. The scan is as urgent as its first waiter.
-- Once in a window of the budget the first of those who have waited long goes before all others.
create or replace function public.sitniks_claim(request jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = '' as $$
declare
    terms jsonb := request -> 'terms';
    most integer := request -> 'limit';
    k public.sitniks_keys := public.sitniks_key(terms);
    tick timestamptz := public.sitniks_now();
    m public.sitniks_chat_mappings;
    scan jsonb := public.sitniks_open_scan(k, terms, tick);
    queue text[] := array(select d.session from public.sitniks_due(tick, '-infinity', scan is not null, most) d);
    aged text;
    next_session text;
    granted integer;
    claims jsonb := '[]';
begin
    if tick >= k.aged_at + public.sitniks_span(terms -> 'seconds') then
        select d.session into aged
        from public.sitniks_due(tick, tick - public.sitniks_span(terms -> 'first_of_all'), scan is not null, 1) d
        where d.urgent <= tick - public.sitniks_span(terms -> 'aged');
        if aged <> queue[1] then
            queue := aged || array_remove(queue, aged);
        else
            aged := null;
        end if;
    end if;
    foreach next_session in array queue loop
        exit when jsonb_array_length(claims) = most;
        select * into m from public.sitniks_chat_mappings
        where user_id = next_session and is_current and pending and ready_at <= tick
        for update skip locked;
        -- Somebody else's, or a second one that waits for the same scan.
        continue when not found or (m.sitniks_chat_id is null and tick < k.scan_until);
        granted := least(
            case when m.sitniks_chat_id is null then 1 else public.sitniks_need(m) end,
            public.sitniks_free(k, terms, tick)
        );
        exit when granted = 0;
        k := public.sitniks_take(k, terms, tick, granted);
        if next_session = aged then
            k.aged_at := tick;
        end if;
        if m.sitniks_chat_id is null then
            k := public.sitniks_hold_scan(k, terms, scan, tick);
            claims := claims || public.sitniks_claim_json(tick, granted, null, scan);
        else
            m := public.sitniks_hold(m, terms, tick);
            claims := claims || public.sitniks_claim_json(tick, granted, public.sitniks_json(m), null);
        end if;
    end loop;
    if claims <> '[]' then
        perform public.sitniks_put_key(k);
    end if;
    return jsonb_build_object('claims', claims, 'wait', public.sitniks_more(k, terms, tick));
end $$;

-- ---------------------------------------------------------------------------------------------------------- settle

-- A holder that lost its lease had sent a write: whoever has the chat now looks once that it did not stick.
create or replace function public.sitniks_raise_doubt(chat_id text, until timestamptz, tick timestamptz) returns void
language plpgsql volatile security invoker set search_path = '' as $$
declare
    m public.sitniks_chat_mappings := public.sitniks_by_chat(chat_id);
begin
    if m.id is null or m.closed is not null then
        return;
    end if;
    until := greatest(until, m.doubt_until);
    if not m.pending then
        m.due_at := greatest(until, tick);
    end if;
    m.doubt_gen := 0;
    m.doubt_until := until;
    m.doubt_looked := false;
    perform public.sitniks_put(m, tick);
end $$;

-- The mapping with what its holder learned; the lease goes on while there is more to do at once.
create or replace function public.sitniks_fold(
    m public.sitniks_chat_mappings, terms jsonb, news jsonb, tick timestamptz
) returns public.sitniks_chat_mappings
language plpgsql volatile security invoker set search_path = '' as $$
declare
    old public.sitniks_chat_mappings := m;
    seen jsonb := news -> 'observed';
    begun jsonb := nullif(news -> 'doubt', 'null');
    doubt jsonb := nullif(seen -> 'doubt', 'null');
    renewed boolean := m.generation <> (news ->> 'generation')::integer;
begin
    m.current_status := seen #>> '{status,value}';
    m.status_gen := seen #>> '{status,gen}';
    m.sitniks_manager_id := seen #>> '{manager,value}';
    m.manager_gen := seen #>> '{manager,gen}';
    m.parked := seen ->> 'parked';
    m.attempt := seen ->> 'attempt';
    m.due_at := public.sitniks_time(seen -> 'due_at');
    m.error_code := seen #>> '{error,code}';
    m.error_message := seen #>> '{error,message}';
    m.doubt_gen := doubt ->> 'gen';
    m.doubt_until := public.sitniks_time(doubt -> 'until');
    m.doubt_looked := doubt -> 'looked';
    if old.doubt_gen is not null
        and (old.doubt_gen, old.doubt_until, old.doubt_looked) is distinct from (
            (begun ->> 'gen')::integer, public.sitniks_time(begun -> 'until'), (begun -> 'looked')::boolean
        )
        and (old.doubt_gen, old.doubt_until, old.doubt_looked) is distinct from (
            m.doubt_gen, m.doubt_until, m.doubt_looked
        )
    then
        -- Raised by a stale holder while we worked: what we know is older, but our own lost write may land later.
        m.doubt_gen := 0;
        m.doubt_until := greatest(old.doubt_until, m.doubt_until);
        m.doubt_looked := false;
    end if;
    if renewed then
        -- Somebody recorded a stage meanwhile: it is due at once, whatever the older one has to wait for.
        m.due_at := tick;
        m.attempt := 0;
        m.error_code := null;
        m.error_message := null;
    end if;
    if (news -> 'gone')::boolean then
        delete from public.sitniks_directory d where d.chat_id = m.sitniks_chat_id;
        m.sitniks_chat_id := null;
        m.search_since := tick;
        m.search_attempt := 0;
        m.current_status := null;
        m.status_gen := 0;
        m.sitniks_manager_id := null;
        m.manager_gen := 0;
        if m.doubt_gen is not null then
            -- The same chat can be found again, and a write that is in the air lands on it all the same.
            m.doubt_gen := 0;
            m.doubt_looked := false;
        end if;
    end if;
    if m.due_at > tick then
        m.urgent_at := m.due_at - public.sitniks_head_start(terms, m.stage);
    end if;
    m.lease_until := case
        when ((news -> 'keep')::boolean or renewed) and public.sitniks_pending(m) and m.due_at <= tick
            then tick + public.sitniks_span(terms -> 'lease')
        else 'epoch'
    end;
    perform public.sitniks_tell(old, m, terms, tick);
    return public.sitniks_put(m, tick);
end $$;

-- Puts a page of the scan into the directory; after the last one, gives the waiting sessions their chats.
create or replace function public.sitniks_fold_page(
    k public.sitniks_keys, terms jsonb, page jsonb, tick timestamptz
) returns public.sitniks_keys
language plpgsql volatile security invoker set search_path = '' as $$
declare
    m public.sitniks_chat_mappings;
    started timestamptz := public.sitniks_time(page -> 'started');
begin
    -- In one order for all, so that two pages never wait for each other; of a chat that stands twice, the last.
    insert into public.sitniks_directory
    select distinct on (c.value ->> 'chat_id' collate "C")
        c.value ->> 'chat_id', c.value ->> 'nickname', c.value ->> 'source', c.value ->> 'user_id',
        c.value ->> 'last_message_at', c.value ->> 'status', (c.value ->> 'manager_id')::bigint, tick
    from jsonb_array_elements(page -> 'contacts') with ordinality as c (value, place)
    order by c.value ->> 'chat_id' collate "C", c.place desc
    on conflict (chat_id) do update
    set nickname = excluded.nickname, source = excluded.source, user_id = excluded.user_id,
        last_message_at = excluded.last_message_at, status = excluded.status, manager_id = excluded.manager_id,
        seen_at = excluded.seen_at;
    if k.scan is null or k.scans <> (page ->> 'token')::integer then
        return k;
    end if;
    if page ->> 'rest' is not null then
        k.scan_until := 'epoch';
        k.scan_due := tick + public.sitniks_span(page -> 'rest');
        k.scan_failures := k.scan_failures + (k.scan_due > tick)::integer;
        return k;
    end if;
    k.scan_failures := 0;
    if jsonb_typeof(page -> 'next') = 'object' then
        k.scan := page -> 'next';
        k.scan_until := tick + public.sitniks_span(terms -> 'lease');
    else
        for place in 1 .. (page ->> 'reach')::integer loop
            k.wide[place] := started;
        end loop;
        for m in
            select * from public.sitniks_chat_mappings
            where pending and sitniks_chat_id is null
            order by urgent_at, intent_order
            for update skip locked
        loop
            perform public.sitniks_look_up(m, terms, started, tick);
        end loop;
        k.scan := null;
        k.scan_until := 'epoch';
        k.scan_due := 'epoch';
    end if;
    return k;
end $$;

-- Folds a round in, and goes on with what may be sent next.
create or replace function public.sitniks_settle(request jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = '' as $$
declare
    terms jsonb := request -> 'terms';
    news jsonb := nullif(request -> 'record', 'null');
    page jsonb := nullif(request -> 'page', 'null');
    k public.sitniks_keys := public.sitniks_key(terms);
    tick timestamptz := public.sitniks_now();
    m public.sitniks_chat_mappings;
    going boolean := false;
    scan jsonb;
    want integer := request -> 'want';
    urgent timestamptz := tick;
    granted integer := 0;
    claim jsonb;
begin
    k := public.sitniks_give_back(k, terms, request -> 'unused');
    k := public.sitniks_move(k, request -> 'late', public.sitniks_time(request -> 'arrived'));
    k := public.sitniks_heed(k, terms, nullif(request -> 'news', 'null'), tick);
    if news is not null then
        select * into m from public.sitniks_chat_mappings where user_id = news ->> 'session' and is_current for update;
        if m.lease_token = (news ->> 'token')::integer then
            m := public.sitniks_fold(m, terms, news, tick);
            going := m.lease_until > tick;
        elsif news ->> 'lands_until' is not null then
            perform public.sitniks_raise_doubt(news ->> 'chat_id', public.sitniks_time(news -> 'lands_until'), tick);
        end if;
    end if;
    if page is not null then
        k := public.sitniks_fold_page(k, terms, page, tick);
        if k.scan is not null and k.scans = (page ->> 'token')::integer and page ->> 'rest' is null then
            scan := k.scan;
        end if;
        select * into m from public.sitniks_chat_mappings where id = m.id for update;
    end if;
    going := going and case
        when m.sitniks_chat_id is null then scan is not null
        else m.pending and m.due_at <= tick
    end;
    if going then
        urgent := m.urgent_at;
        if m.sitniks_chat_id is not null then
            want := least(want, public.sitniks_need(m));
        end if;
    elsif scan is not null then
        select coalesce(min(urgent_at), tick) into urgent
        from public.sitniks_chat_mappings
        where pending and sitniks_chat_id is null;
    end if;
    if going or scan is not null or (news is null and page is null) then
        granted := public.sitniks_room(k, terms, tick, urgent, want);
        k := public.sitniks_take(k, terms, tick, granted);
    end if;
    if granted = 0 and scan is not null then
        -- No call is to be had now: leave the work to whoever is the first to have one.
        k.scan_until := 'epoch';
    end if;
    if m.lease_token = (news ->> 'token')::integer and m.lease_until > tick and not (going and granted > 0) then
        m.lease_until := 'epoch';
        m := public.sitniks_put(m, tick);
    end if;
    if granted > 0 then
        claim := public.sitniks_claim_json(tick, granted, case when going then public.sitniks_json(m) end, scan);
    end if;
    perform public.sitniks_put_key(k);
    select * into m from public.sitniks_chat_mappings where user_id = news ->> 'session' and is_current;
    return jsonb_build_object(
        'record', public.sitniks_json(m),
        'claim', claim,
        'wait', public.sitniks_wait(k, terms, tick),
        'more', public.sitniks_more(k, terms, tick),
        'lock', public.sitniks_lock(k, tick),
        'now', public.sitniks_seconds(tick)
    );
end $$;

-- Notes an own write that went past the plan: the value is seen, no generation is confirmed by it.
create or replace function public.sitniks_observe(request jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = '' as $$
declare
    m public.sitniks_chat_mappings := public.sitniks_by_chat(request ->> 'chat_id');
begin
    if m.id is not null then
        m.current_status := coalesce(request ->> 'status', m.current_status);
        m.sitniks_manager_id := coalesce((request ->> 'manager_id')::bigint, m.sitniks_manager_id);
        perform public.sitniks_put(m, public.sitniks_now());
    end if;
    return null;
end $$;

-- ------------------------------------------------------------------------------------------------------------ care

create or replace function public.sitniks_get(request jsonb) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select public.sitniks_json(m)
    from public.sitniks_chat_mappings m
    where m.user_id = request ->> 'session' and m.is_current;
$$;

-- The newest entries of a session, oldest first.
create or replace function public.sitniks_story_of(request jsonb) returns jsonb
language sql stable security invoker set search_path = '' as $$
    select coalesce(
        jsonb_agg(to_jsonb(l) || jsonb_build_object('at', public.sitniks_seconds(l.at)) order by l.id), '[]'
    )
    from (
        select * from public.sitniks_ledger
        where session = request ->> 'session'
        order by id desc
        limit (request ->> 'limit')::integer
    ) as l;
$$;

-- Erases one customer from every table and the directory; returns how many rows that were.
create or replace function public.sitniks_forget(request jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = '' as $$
declare
    chats text[];
    names text[];
    count integer;
    erased integer := 0;
begin
    -- No scan brings the customer back meanwhile, and nobody waits for a row that is waited for here.
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
language plpgsql volatile security invoker set search_path = '' set plan_cache_mode = force_custom_plan as $$
declare
    cutoff timestamptz := public.sitniks_now() - public.sitniks_span(request -> 'older_than');
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
language sql stable security invoker set search_path = '' as $$
    select jsonb_build_object(
        'records', (select count(*) from public.sitniks_chat_mappings where is_current),
        'pending', (select count(*) from public.sitniks_chat_mappings where pending),
        'overdue', (
            select count(*) from public.sitniks_chat_mappings
            where pending and due_at < (select public.sitniks_now() - public.sitniks_span(request -> 'overdue'))
        ),
        'ledger', (select count(*) from public.sitniks_ledger),
        'directory', (select count(*) from public.sitniks_directory)
    );
$$;

-- What is missing, what this role may not do, and what strangers may do: three lists of names.
create or replace function public.sitniks_check(request jsonb) returns jsonb
language sql stable security invoker set search_path = '' as $$
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
        'missing', coalesce(jsonb_agg(distinct name) filter (where missing), '[]'),
        'denied', coalesce(jsonb_agg(distinct name) filter (where role = current_user and not may_all), '[]'),
        'open', coalesce(jsonb_agg(distinct name) filter (where role <> current_user and may_some), '[]')
    )
    from rights;
$$;
