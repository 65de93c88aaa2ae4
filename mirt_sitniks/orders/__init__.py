"""Orders: what a host says (`models`)."""
