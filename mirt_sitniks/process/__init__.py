"""What a process and its threads demand: forks, and files that are read where an event loop runs."""
