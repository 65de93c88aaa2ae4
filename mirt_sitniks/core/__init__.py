"""The rules: pure functions of frozen values, without I/O, clock or randomness."""
