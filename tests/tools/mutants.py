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
CORE, ENGINE, SERVICE = "tests/core/", "tests/engine/", "tests/service/"


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
        "core/people.py",
        "(seen.unconfirmed and (seen.unconfirmed.gen == desired.generation or seen.attempt))",
        "False",
        CORE + "test_plan.py -k row04",
    ),
    Mutant(
        "an older write in the air is forgotten",
        "core/record.py",
        "or record.observed.contradicted) or may_be_overwritten(record)",
        "or record.observed.contradicted)",
        CORE + "test_bad_days.py -k row16",
    ),
    Mutant(
        "a second lost write hides the first",
        "core/fold.py",
        "gen = lost.gen if lost else work.record.desired.generation",
        "gen = work.record.desired.generation",
        CORE + "test_fold.py -k row04",
    ),
    Mutant(
        "what an answer contradicts is confirmed",
        "core/fold.py",
        "if _shows(work, answer, answer) is False:",
        "if False:",
        CORE + "test_truth.py -k row38",
    ),
    Mutant(
        "of two writes that cross one may be lost",
        "core/fold.py",
        "if any(_shows(work, one, answer) is False and not _came_before(work, one, answer) for one in others):",
        "if False:",
        CORE + "test_truth.py -k row41",
    ),
    Mutant(
        "a look that shows the value ends the doubt too early",
        "core/looks.py",
        "if unconfirmed and sent_at >= unconfirmed.until:",
        "if unconfirmed:",
        CORE + "test_fold.py -k row04",
    ),
    Mutant(
        "a person's status is written over",
        "core/looks.py",
        " or is_persons(record, chat, at, work.context)):",
        "):",
        CORE + "test_truth.py -k row42",
    ),
    Mutant(
        "what was there before is taken for a person's",
        "core/people.py",
        "before = lost or (shown == seen.status.value and (over or not (seen.status.gen or there)))",
        "before = lost",
        CORE + "test_truth.py -k row42",
    ),
    Mutant(
        "nobody looks before a late write",
        "core/people.py",
        "or now - seen.seen_at > context.look_again",
        "",
        CORE + "test_truth.py -k row42",
    ),
    Mutant(
        "a rest of the key counts as a failed attempt",
        "core/fold.py",
        'error.code not in ("rate_limited", *KEY_CODES)',
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
        "core/asking.py",
        '({"manager": role.value} if role else {})',
        '{"manager": role.value if role else None}',
        "tests/stores/test_embedded.py -k leaves_the_manager",
    ),
    Mutant(
        "an older stage takes back what a later one has set",
        "core/asking.py",
        "if (rank, at) >= order[name]",
        "if rank >= order[name][0]",
        CORE + "test_convergence.py -k three_hundred",
    ),
    Mutant(
        "a first touch takes back what a later stage has set",
        "core/asking.py",
        "int(intent.stage != Stage.FIRST_TOUCH)",
        "1",
        "tests/stores/test_embedded.py -k takes_back_nothing",
    ),
    Mutant(
        "a clock that was set back is not noticed",
        "core/asking.py",
        "min(max(bound, least), most)",
        "max(bound, least)",
        CORE + "test_asking.py",
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
        "done = await self._round(claim, granted, refused)",
        "done = await self._round(claim, received, refused)",
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
        "1 if is_asked_for(budget) else limit.calls",
        "limit.calls",
        CORE + "test_budget.py -k row08",
    ),
    Mutant(
        "one chat's refusal is the account's",
        "core/capabilities.py",
        "ENOUGH, VOUCHED = 3, 60.0",
        "ENOUGH, VOUCHED = 1, 60.0",
        CORE + "test_truth.py -k row39",
    ),
    Mutant(
        "one refused call is the whole key's affair",
        "engine/driver.py",
        'meant = forbidden(call, status) if code in KEY_CODES and kind != "list" else None',
        "meant = None",
        CORE + "test_bad_days.py -k right",
    ),
    Mutant(
        "a refusal is nobody's affair before the key was asked for",
        "core/rounds.py",
        "good = good or self.now - self.claim.known.vouched_at < VOUCHED",
        "good = True",
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
        "locked_until=0.0) if is_asked_for(budget) else budget",
        "locked_until=0.0)",
        CORE + "test_budget.py -k row07",
    ),
    Mutant(
        "a hint of the directory is taken at its word",
        "core/proof.py",
        "if not _is_proven(one, record.prove_since)]",
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
        "if isinstance(ai, NoManager) or role is Role.AI:",
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
        "engine/runtime.py",
        "max(RECORDING, end - self.driver.clock())",
        "60.0",
        ENGINE + "test_store_away.py -k however_long",
    ),
    Mutant(
        "a store that is away is asked by all at once",
        "engine/gate.py",
        "self._busy < (1 if self.trouble else WIDTH)",
        "self._busy < WIDTH",
        ENGINE + "test_store_away.py -k one_at_a_time",
    ),
    Mutant(
        "what was written past the store counts as unwritten",
        "core/rules.py",
        "if intent.written and fresh.chat_id == chat_id",
        "if False and fresh.chat_id == chat_id",
        ENGINE + "test_direct_writes.py -k person",
    ),
    Mutant(
        "what was written past the store is not looked at",
        "core/rules.py",
        "lost = Unconfirmed(0, tx.now + intent.landing)",
        "lost = None",
        ENGINE + "test_direct_writes.py -k lands_late",
    ),
    Mutant(
        "each sync of a turn has a budget of its own",
        "engine/replies.py",
        "yield self._seconds - held",
        "yield self._seconds",
        ENGINE + "test_replies.py",
    ),
    Mutant(
        "calls past the store are not counted",
        "core/rules.py",
        "budgets.charge(key.budget, tx.now, intent.sent)",
        "key.budget",
        ENGINE + "test_direct_writes.py -k count",
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
    Mutant(
        "an order in doubt is sent again",
        "core/order_steps.py",
        "    if error.unconfirmed:\n",
        "    if False:\n",
        CORE + "test_order_steps.py",
    ),
    Mutant(
        "an order that is another record's is taken over",
        "core/order_steps.py",
        "if one.id not in taken",
        "if True",
        CORE + "test_order_steps.py -k equal_orders",
    ),
    Mutant(
        "of equal orders none is taken",
        "core/order_steps.py",
        "max(alike, 1)",
        "1",
        CORE + "test_order_steps.py -k equal_orders",
    ),
    Mutant(
        "an order that shows another's id is taken for ours",
        "core/order_match.py",
        "if not one.external_id and ",
        "if ",
        CORE + "test_order_steps.py -k differs",
    ),
    Mutant(
        "a refusal is told of in each round that waits for its meaning",
        "core/rounds.py",
        "replace(one, sent=False, tried=None)",
        "replace(one, sent=False)",
        CORE + "test_rounds.py -k told_of_once",
    ),
    Mutant(
        "a forgotten customer is back with a late call",
        "core/ownership.py",
        'of = Record("") if mine is None or one.for_all else mine',
        'of = Record("") if one.for_all else mine or Record(session or "")',
        "tests/stores/test_embedded.py -k bring_back_nobody",
    ),
    Mutant(
        "a call is forgotten with the settle that failed",
        "engine/driver.py",
        "self.untold = (untold + self.untold)[-UNTOLD:]",
        "pass",
        ENGINE + "test_direct.py -k told_of_later",
    ),
    Mutant(
        "an order goes out before the store says that it does",
        "engine/order_drive.py",
        "ready=ready",
        "ready=None",
        ENGINE + "test_orders.py -k row03",
    ),
    Mutant(
        "a lost answer of the store is somebody else's write",
        "engine/order_rows.py",
        "            if tries == 1:\n                return False",
        "            return False",
        ENGINE + "test_orders.py -k lost_answer_of_the_store",
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
