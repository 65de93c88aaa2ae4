"""The package's patience, cut for tests: what comes back after seconds or minutes does so after hundredths."""

from typing import Any

from mirt_sitniks.core import backoff, budget
from mirt_sitniks.crm import answers
from mirt_sitniks.engine import gate

# Rates, tries and their order stay; a grant may be as old as its window, for a busy machine is no fault.
PACE: tuple[tuple[Any, str, float], ...] = (
    (backoff, "FIRST", 0.02),
    (backoff, "CAP", 0.05),
    (backoff, "SEARCH_FIRST", 0.04),
    (backoff, "SEARCH_LIMIT", 2.0),
    (budget, "GRACE", 1.0),
    (answers, "DEFAULT_REST", 1.0),
    (gate, "FIRST", 0.01),
    (gate, "CAP", 0.1),
)
