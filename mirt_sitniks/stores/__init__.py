"""Where records live: one file of SQLite, a Supabase project, or memory."""
