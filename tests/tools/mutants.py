"""Breaks the core on purpose, once for each line below, and asks the tests whether they notice: `mutants.py [word]`.

Standard library only; the tests run with the Python that runs this. A mutant is a change in a copy of the package; it
is killed when the tests that are meant for it fail. Exit code 1 when one survives, 2 when one does not fit the code any
more. With words, only the mutants whose name has one of them.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0
CORE, SERVICE = "tests/core/", "tests/service/"


@dataclass(frozen=True)
class Mutant:
    """`old` stands exactly once in `file` of the package and becomes `new`; `tests` are pytest's arguments."""

    name: str
    file: str
    old: str
    new: str
    tests: str


MUTANTS = (
    Mutant(
        "a lost write is repeated without a look",
        "core/plan.py",
        "seen.unconfirmed.gen == desired.generation:",
        "seen.unconfirmed.gen == -1:",
        CORE + "test_plan.py -k row04",
    ),
    Mutant(
        "an older write in the air is forgotten",
        "core/record.py",
        "return bool(stale(record)) or may_be_overwritten(record)",
        "return bool(stale(record))",
        CORE + "test_bad_days.py -k row16",
    ),
    Mutant(
        "a second lost write hides the first",
        "core/fold.py",
        "if before and (before.until > answer.sent_at or before.gen != record.desired.generation):",
        "if False:",
        CORE + "test_fold.py -k row04",
    ),
    Mutant(
        "writing one field ends the doubt about both",
        "core/fold.py",
        "if since and status and manager else",
        "if since else",
        CORE + "test_fold.py -k row04",
    ),
    Mutant(
        "a look that shows the value ends the doubt too early",
        "core/fold.py",
        "if unconfirmed is None or answer.sent_at >= unconfirmed.until:",
        "if unconfirmed is None or answer.sent_at >= unconfirmed.until or chat.status == name:",
        CORE + "test_fold.py -k row04",
    ),
    Mutant(
        "a manager whom a person chose is written over",
        "core/fold.py",
        'elif older or "manager" in stale(record):',
        "else:",
        CORE + "test_fold.py -k row28",
    ),
    Mutant(
        "a rest of the key counts as a failed attempt",
        "core/fold.py",
        'error.code not in ("rate_limited", "unauthorized", "plan_required")',
        "error.code",
        CORE + "test_fold.py -k row07",
    ),
    Mutant(
        "a chat that is gone is looked up for ever",
        "core/ownership.py",
        "return error if error and error.code == NOT_FOUND.code else None",
        "return None",
        CORE + "test_bad_days.py -k row09",
    ),
    Mutant(
        "a stale holder's answers count",
        "core/rules.py",
        "if old is None or old.token != settlement.token:",
        "if old is None:",
        CORE + "test_bad_days.py -k row17",
    ),
    Mutant(
        "a stale holder's write is not looked at",
        "core/rules.py",
        "if settlement.unconfirmed_until is not None and settlement.chat_id:",
        "if False:",
        CORE + "test_bad_days.py -k row17",
    ),
    Mutant(
        "a takeover forgets the other session's lost write",
        "core/ownership.py",
        "until = max(times)",
        "until = 0.0",
        CORE + "test_bad_days.py -k row19",
    ),
    Mutant(
        "a replay acts again",
        "core/rules.py",
        "return Verdict.KNOWN if known == old.desired.generation else Verdict.REPLAY",
        "return Verdict.KNOWN if known == old.desired.generation else Verdict.NEW",
        CORE + "test_bad_days.py -k row02",
    ),
    Mutant(
        "an invoice forgets the manager who is to come",
        "core/rules.py",
        "kept = DesiredValue() if old.closed else old.desired.manager",
        "kept = DesiredValue()",
        CORE + "test_bad_days.py -k still_to_come",
    ),
    Mutant(
        "a stage that comes during a rest waits for it",
        "core/rules.py",
        "    if renewed:\n",
        "    if False:\n",
        CORE + "test_bad_days.py -k row16",
    ),
    Mutant(
        "a frozen process sends what it was granted long ago",
        "engine/driver.py",
        "done = await self._round(claim, received - age)",
        "done = await self._round(claim, received)",
        CORE + "test_bad_days.py -k row17",
    ),
    Mutant(
        "a wrong status puts the manager off",
        "core/rounds.py",
        "if done.goes_on and not folded.gone:",
        "if False:",
        CORE + "test_bad_days.py -k row09",
    ),
    Mutant(
        "a refused key is tried with all calls",
        "core/budget.py",
        "1 if budget.lock in KEY_CODES else limit.calls",
        "limit.calls",
        CORE + "test_budget.py -k row08",
    ),
    Mutant(
        "one refused call is the whole key's affair",
        "engine/refusals.py",
        "return error.code in KEY_CODES and not isinstance(call, ListChats)",
        "return False",
        CORE + "test_bad_days.py -k right",
    ),
    Mutant(
        "what was let in before a refusal explains it",
        "engine/refusals.py",
        "if self._accepted >= sent_at:",
        "if self._accepted > -math.inf:",
        SERVICE + "test_refusals.py -k row08",
    ),
    Mutant(
        "the window is half as long",
        "core/budget.py",
        "    used = sum(1 for at in budget.grants if at > now - limit.seconds)",
        "    used = sum(1 for at in budget.grants if at > now - limit.seconds / 2)",
        CORE + "test_budget.py -k row18",
    ),
    Mutant(
        "a late good answer cuts the rest after a 429 short",
        "core/budget.py",
        "locked_until=0.0) if budget.lock in KEY_CODES else budget",
        "locked_until=0.0)",
        CORE + "test_budget.py -k row07",
    ),
    Mutant(
        "a hint of the directory is taken at its word",
        "core/proof.py",
        "if one.seen_at < record.prove_since - ROUNDING]",
        "if False]",
        CORE + "test_accounts.py",
    ),
    Mutant(
        "who is silent is taken for the customer",
        "core/proof.py",
        "return record if not listed and _is_silent(tx, record, found) else assign(tx, record, found)",
        "return assign(tx, record, found)",
        CORE + "test_accounts.py",
    ),
    Mutant(
        "the channel need not fit",
        "core/chats.py",
        "return 2 if fit is None else int(fit)",
        "return 2",
        CORE + "test_chats.py",
    ),
    Mutant(
        "the live manager may be the AI itself",
        "core/managers.py",
        "if role is Role.AI or isinstance(ai, NoManager):",
        "if role is Role.AI:",
        CORE + "test_managers.py -k row15",
    ),
    Mutant(
        "the end of a worker meets a kick and waits for ever",
        "engine/worker.py",
        "                async with asyncio.timeout(pause):\n                    await self._wake.wait()",
        "                await asyncio.wait_for(self._wake.wait(), pause)",
        CORE + "test_bad_days.py -k row23",
    ),
    Mutant(
        "retries never get slower",
        "core/backoff.py",
        "return random * min(CAP, FIRST * 2.0 ** min(attempt - 1, 30))",
        "return random * FIRST",
        CORE + "test_bad_days.py -k row06",
    ),
    Mutant(
        "the reply waits for the work",
        "service.py",
        ".result(self._hold)",
        ".result(60.0)",
        SERVICE + "test_faults.py -k slow_store",
    ),
    Mutant(
        "a child uses its parent's thread",
        "engine/io_thread.py",
        "        thread._reset()",
        "        pass",
        SERVICE + "test_forks.py -k own_thread",
    ),
    Mutant(
        "the key is kept in an attribute",
        "crm/client.py",
        "        self._authorize = _bearer(key)",
        "        self._authorize, self._key = _bearer(key), str(getattr(key, 'get_secret_value', lambda: key)())",
        SERVICE + "test_secrets.py -k no_attribute",
    ),
)


def verdict(mutant: Mutant) -> str:
    """killed, SURVIVED, or why it could not be tried."""
    source = ROOT / "mirt_sitniks" / mutant.file
    text = source.read_text("utf-8")
    if text.count(mutant.old) != 1:
        return f"STALE: {mutant.file} has the line {text.count(mutant.old)} times"
    with tempfile.TemporaryDirectory(prefix="mirt-mutant-") as folder:
        for name in ("mirt_sitniks", "tests", "examples"):
            shutil.copytree(ROOT / name, Path(folder, name), ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy2(ROOT / "pyproject.toml", folder)
        Path(folder, "mirt_sitniks", mutant.file).write_text(text.replace(mutant.old, mutant.new), "utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-x", "--hypothesis-profile=ci", "-p", "no:cacheprovider"]
        try:
            done = subprocess.run(
                [*command, *mutant.tests.split()], cwd=folder, capture_output=True, timeout=PATIENCE, check=False
            )
        except subprocess.TimeoutExpired:
            return "killed (it hangs)"
    return {0: "SURVIVED", 1: "killed"}.get(done.returncode, f"STALE: pytest ended with {done.returncode}")


def main() -> int:
    """Tries all mutants, prints a table, and returns the exit code."""
    words = sys.argv[1:] or [""]
    chosen = [mutant for mutant in MUTANTS if any(word in f"{mutant.file}: {mutant.name}" for word in words)]
    results = []
    for mutant in chosen:
        began = time.monotonic()
        results.append(verdict(mutant))
        print(f"{time.monotonic() - began:5.1f} s  {results[-1]:10} {mutant.file}: {mutant.name}", flush=True)
    killed = sum(1 for one in results if one.startswith("killed"))
    print(f"\n{killed} of {len(chosen)} mutants killed")
    return 2 if any(one.startswith("STALE") for one in results) else int(killed < len(chosen))


if __name__ == "__main__":
    sys.exit(main())
