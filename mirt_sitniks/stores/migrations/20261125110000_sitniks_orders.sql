-- Keys before all else, in the order of the verbs that may run beside this.
do $$ begin lock table public.sitniks_keys in access exclusive mode; end $$;

-- An order by the id that its host gave it, made once; one that ended has no `due_at`. `body` is what is sent.
create table if not exists public.sitniks_orders (
    account text not null,
    external_id text not null,
    digest text not null,
    body jsonb not null,
    session text,
    chat_id text,
    state text not null,
    order_id text,
    order_number text,
    asked_at timestamptz not null,
    due_at timestamptz,
    attempt integer not null,
    sent_at timestamptz,
    unconfirmed_until timestamptz,
    error_code text,
    error_message text,
    candidates jsonb not null,
    lease_by text not null,
    lease_until timestamptz not null,
    version integer not null,
    updated_at timestamptz not null,
    -- By which it is told from others' that one whose answer was lost was written.
    written_by text not null,
    primary key (account, external_id)
);
create unique index if not exists sitniks_orders_tied on public.sitniks_orders (account, order_id)
    where order_id is not null;
create index if not exists sitniks_orders_ready
    on public.sitniks_orders (account, greatest(due_at, lease_until), external_id) where due_at is not null;
create index if not exists sitniks_orders_ended on public.sitniks_orders (updated_at) where due_at is null;
create index if not exists sitniks_orders_in_doubt on public.sitniks_orders (account)
    where state in ('sent', 'unknown');
create index if not exists sitniks_orders_sessions on public.sitniks_orders (session) where session is not null;
create index if not exists sitniks_orders_chats on public.sitniks_orders (chat_id) where chat_id is not null;

alter table public.sitniks_orders enable row level security;
revoke all on table public.sitniks_orders from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.sitniks_orders to service_role;
do $$ begin
    drop policy if exists sitniks_service on public.sitniks_orders;
    create policy sitniks_service on public.sitniks_orders to service_role using (true) with check (true);
end $$;

-- Two functions that know no rule: one shows orders, the other writes one if it is what was seen.
create or replace function public.sitniks_orders(request jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = '' set lock_timeout = '2s' as $$
declare
    tick timestamptz := public.sitniks_now();
    waiting timestamptz := tick - make_interval(secs => (request ->> 'waiting')::double precision);
begin
    return (
        with mine as not materialized (
            select * from public.sitniks_orders where account = request ->> 'account'
        ), found as (
            select * from mine
            where external_id = any (array(select jsonb_array_elements_text(request -> 'external_ids')))
            union select * from mine
            where order_id = any (array(select jsonb_array_elements_text(request -> 'order_ids')))
            union select * from mine
            where session = any (array(select jsonb_array_elements_text(request -> 'sessions')))
            union select * from mine
            where state in ('sent', 'unknown') and starts_with(digest, request ->> 'alike')
            union (
                select * from mine where due_at is not null and greatest(due_at, lease_until) <= tick
                order by greatest(due_at, lease_until), external_id limit (request ->> 'due')::integer
            ) union (
                select * from mine
                where due_at is not null and asked_at < waiting or state = 'unknown' and digest > ''
                order by asked_at desc, external_id limit (request ->> 'troubled')::integer
            )
        )
        select jsonb_build_object(
            'now', tick,
            'records', (
                select coalesce(jsonb_agg(to_jsonb(f) - array['updated_at', 'written_by']), '[]') from found f
            ),
            'next_at', (
                select greatest(due_at, lease_until) from mine where due_at is not null
                order by greatest(due_at, lease_until) limit 1
            )
        )
    );
end $$;

-- Answers whether it was written. Asked again by the same writer, because an answer was lost, it says so again.
create or replace function public.sitniks_commit_order(request jsonb) returns jsonb
language plpgsql volatile security invoker set search_path = '' set lock_timeout = '2s' as $$
begin
    request := request || jsonb_build_object('updated_at', public.sitniks_now());
    if request -> 'version' = '1' then
        insert into public.sitniks_orders select * from jsonb_populate_record(null::public.sitniks_orders, request)
        on conflict do nothing;
    else
        update public.sitniks_orders o
        set (digest, body, session, chat_id, state, order_id, order_number, asked_at, due_at, attempt, sent_at,
            unconfirmed_until, error_code, error_message, candidates, lease_by, lease_until, version, updated_at, written_by)
            = (select digest, body, session, chat_id, state, order_id, order_number, asked_at, due_at, attempt, sent_at,
            unconfirmed_until, error_code, error_message, candidates, lease_by, lease_until, version, updated_at, written_by
            from jsonb_populate_record(o, request))
        where o.account = request ->> 'account' and o.external_id = request ->> 'external_id'
            and o.version = (request ->> 'version')::integer - 1;
    end if;
    return to_jsonb(found or exists (
        select from public.sitniks_orders o
        where o.account = request ->> 'account' and o.external_id = request ->> 'external_id'
            and (o.version, o.written_by) = ((request ->> 'version')::integer, request ->> 'written_by')
    ));
exception when unique_violation then
    -- Another one is tied to this order of the CRM.
    return to_jsonb(false);
end $$;

revoke all on function public.sitniks_orders(jsonb), public.sitniks_commit_order(jsonb)
    from public, anon, authenticated;
grant execute on function public.sitniks_orders(jsonb), public.sitniks_commit_order(jsonb) to service_role;
