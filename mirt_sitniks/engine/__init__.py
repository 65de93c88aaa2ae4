"""What runs: the I/O thread, drives, the worker."""
