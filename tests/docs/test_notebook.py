"""The notebook runs, and what it shows is what is stored in it."""

import json
import re
from pathlib import Path

import pytest

from tests.docs import notebook


@pytest.mark.slow
def test_a_run_shows_what_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell runs on this interpreter and gives the stored outputs, apart from times and ports."""
    for variable in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "jupyter"))
    fresh, stored = notebook.execute(tmp_path), notebook.read()
    for before, after in zip(stored.cells, fresh.cells, strict=True):
        assert notebook.outputs(after) == notebook.outputs(before), (
            f"store it again, see tests/README.md:\n{before.source}"
        )


def test_the_stored_outputs_are_steady() -> None:
    """No time, port or machine's path is stored, and every cell is stored as it came from one run from the top."""
    code = [cell for cell in notebook.read().cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    shown = json.dumps([cell.outputs for cell in code], ensure_ascii=False)
    assert notebook.steady(shown) == shown
    assert not re.search(r"/(tmp|home|root|Users|usr|var|work)/", shown)
    assert "Traceback" not in shown


def test_the_stored_outputs_tell_the_story() -> None:
    """The statuses, a person's own, the interrupt, silence, order, outage and picture are seen without a run."""
    shown = json.dumps([cell.get("outputs") for cell in notebook.read().cells], ensure_ascii=False)
    for part in (
        *(
            "Взято в роботу",
            "Виставлено рахунок",
            "AI Увага",
            "ОПЛАЧЕНО",
            "Чи надійшла оплата?",
            "замовлення №1001",
            "(silence)",
        ),
        *("queued (unavailable)", "image/svg+xml", ">sitniks_sync_payment</text>", "PATCH /open-api/chats/{id}/status"),
    ):
        assert part in shown, part
