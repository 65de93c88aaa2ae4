-- Keys before mappings, in the order of the verbs that may run beside this.
do $$ begin lock table public.sitniks_keys in access exclusive mode; end $$;

-- Least privilege: the service role may work, nobody else may do anything. Nothing is taken for granted, because old
-- projects grant every right to everybody on what is made in `public`, and new ones nothing to nobody.
do $$
declare
    thing record;
begin
    for thing in
        select unnest(array['sitniks_chat_mappings', 'sitniks_ledger', 'sitniks_directory', 'sitniks_keys']) as name
    loop
        execute format('alter table public.%I enable row level security', thing.name);
        execute format('revoke all on table public.%I from public, anon, authenticated, service_role', thing.name);
        execute format('grant select, insert, update, delete on table public.%I to service_role', thing.name);
    end loop;

    -- Policies without a role let everybody in: the original's was one.
    for thing in
        select p.tablename, p.policyname
        from pg_catalog.pg_policies p
        where p.schemaname = 'public'
            and p.tablename in ('sitniks_chat_mappings', 'sitniks_ledger', 'sitniks_directory', 'sitniks_keys')
            and (p.roles && array['public', 'anon', 'authenticated']::name[] or p.policyname = 'sitniks_service')
    loop
        execute format('drop policy %I on public.%I', thing.policyname, thing.tablename);
    end loop;

    for thing in
        select c.oid::regclass as name
        from pg_catalog.pg_depend d
        join pg_catalog.pg_class c on c.oid = d.objid and c.relkind = 'S'
        where d.refobjid in ('public.sitniks_chat_mappings'::regclass, 'public.sitniks_ledger'::regclass)
            and d.deptype in ('a', 'i')
    loop
        execute format('revoke all on sequence %s from public, anon, authenticated, service_role', thing.name);
        execute format('grant usage, select on sequence %s to service_role', thing.name);
    end loop;

    for thing in
        select p.oid::regprocedure as name
        from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname like 'sitniks\_%'
    loop
        execute format('revoke all on function %s from public, anon, authenticated', thing.name);
        execute format('grant execute on function %s to service_role', thing.name);
    end loop;
end $$;

create policy sitniks_service on public.sitniks_chat_mappings to service_role using (true) with check (true);
create policy sitniks_service on public.sitniks_ledger to service_role using (true) with check (true);
create policy sitniks_service on public.sitniks_directory to service_role using (true) with check (true);
create policy sitniks_service on public.sitniks_keys to service_role using (true) with check (true);

-- PostgREST serves what it has read of the schema: have it read again.
notify pgrst, 'reload schema';
