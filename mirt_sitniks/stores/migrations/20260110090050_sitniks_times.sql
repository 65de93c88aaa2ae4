-- Which row is the newest is asked by the upgrade that follows: until it is done, no trigger says of a row that it was
-- updated just now. What is switched off here is said in the trigger's comment, and switched on again by the last file.
do $$
declare
    one record;
begin
    if exists (
        select from pg_catalog.pg_attribute
        where attrelid = 'public.sitniks_chat_mappings'::regclass and attname = 'is_current'
    ) then
        return;
    end if;
    for one in
        select tgname as name, coalesce(obj_description(oid, 'pg_trigger'), '') as told
        from pg_catalog.pg_trigger
        -- For each row, before an update.
        where tgrelid = 'public.sitniks_chat_mappings'::regclass and tgtype & 19 = 19 and tgenabled = 'O'
    loop
        execute format('alter table public.sitniks_chat_mappings disable trigger %I', one.name);
        execute format(
            'comment on trigger %I on public.sitniks_chat_mappings is %L', one.name, one.told || ' (off for an upgrade)'
        );
    end loop;
end $$;
