-- The embedded store. The first ten columns of the mappings are those of the original table.
create table if not exists sitniks_chat_mappings (
    id integer primary key,
    user_id text not null unique,
    instagram_username text,
    telegram_username text,
    sitniks_chat_id text unique,
    sitniks_manager_id integer,
    current_status text,
    first_touch_at real,
    created_at real not null,
    updated_at real not null,
    -- desired: written by recording an intent
    generation integer not null default 0,
    stage text,
    intent text,
    intent_order integer not null default 0,
    asked_at real not null default 0,
    want_status text,
    want_status_gen integer not null default 0,
    want_manager text,
    want_manager_gen integer not null default 0,
    -- observed: written by the holder of the lease
    status_gen integer not null default 0,
    manager_gen integer not null default 0,
    doubt_gen integer,
    doubt_until real,
    doubt_looked integer,
    parked integer not null default 0,
    attempt integer not null default 0,
    due_at real not null default 0,
    error_code text,
    error_message text,
    -- work
    search_since real,
    search_attempt integer not null default 0,
    urgent_at real not null default 0,
    lease_token integer not null default 0,
    lease_until real not null default 0,
    closed text,
    pending integer not null default 0,
    -- there is something to do beside its stages
    aside integer not null default 0,
    account text not null default 'main',
    -- what has no column of its own, as JSON
    details text not null default '{}'
);
create index if not exists sitniks_mappings_instagram on sitniks_chat_mappings (instagram_username)
    where instagram_username is not null;
create index if not exists sitniks_mappings_telegram on sitniks_chat_mappings (telegram_username)
    where telegram_username is not null;

create table if not exists sitniks_ledger (
    id integer primary key autoincrement,
    session text not null,
    kind text not null,
    key text,
    stage text,
    generation integer not null,
    who text not null,
    at real not null,
    before text not null,
    after text not null
);
create unique index if not exists sitniks_ledger_intents on sitniks_ledger (session, key) where kind = 'intent';
create index if not exists sitniks_ledger_sessions on sitniks_ledger (session, id);
create index if not exists sitniks_ledger_age on sitniks_ledger (at);

create table if not exists sitniks_directory (
    chat_id text primary key,
    nickname text,
    source text,
    user_id text,
    last_message_at text,
    status text,
    manager_id integer,
    seen_at real not null,
    account text not null default 'main',
    details text not null default '{}'
) without rowid;
create index if not exists sitniks_directory_names on sitniks_directory (nickname) where nickname is not null;

create table if not exists sitniks_keys (
    key text primary key,
    state text not null,
    lookout_at real not null default 0,
    lookout_by text not null default '',
    details text not null default '{}'
) without rowid;

create table if not exists sitniks_clock (
    id integer primary key check (id = 1),
    ahead real not null,
    last real not null
);

-- An order by the id that its host gave it; one that ended has no `due_at`.
create table if not exists sitniks_orders (
    account text not null,
    external_id text not null,
    digest text not null,
    body text not null,
    session text,
    chat_id text,
    state text not null,
    order_id text,
    order_number text,
    asked_at real not null,
    due_at real,
    attempt integer not null,
    sent_at real,
    unconfirmed_until real,
    error_code text,
    error_message text,
    candidates text not null,
    lease_by text not null,
    lease_until real not null,
    version integer not null,
    updated_at real not null,
    primary key (account, external_id)
);
create unique index if not exists sitniks_orders_tied on sitniks_orders (account, order_id) where order_id is not null;
create index if not exists sitniks_orders_ready on sitniks_orders (account, max(due_at, lease_until), external_id)
    where due_at is not null;
create index if not exists sitniks_orders_in_doubt on sitniks_orders (account) where state in ('sent', 'unknown');
create index if not exists sitniks_orders_ended on sitniks_orders (updated_at) where due_at is null;
create index if not exists sitniks_orders_sessions on sitniks_orders (session) where session is not null;
create index if not exists sitniks_orders_chats on sitniks_orders (chat_id) where chat_id is not null;
