-- The verbs lock a key before a mapping: so does a migration that runs beside them, or both would wait for ever.
do $$
begin
    if to_regclass('public.sitniks_keys') is not null then
        lock table public.sitniks_keys in access exclusive mode;
    end if;
end $$;

-- The table as it was first made. Where it is there already it is left as it is; the later files upgrade it.
create table if not exists public.sitniks_chat_mappings (
    id uuid primary key default gen_random_uuid(),
    user_id text not null,
    instagram_username text,
    telegram_username text,
    sitniks_chat_id text unique,
    sitniks_manager_id integer,
    current_status text,
    first_touch_at timestamptz,
    created_at timestamptz default now(),
    updated_at timestamptz default now()
);
alter table public.sitniks_chat_mappings enable row level security;
