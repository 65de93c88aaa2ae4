"""`mirt-sitniks doctor`: checks what a sync needs, one line and one cure each, and shows no secret."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mirt_sitniks.cli import doctor_settings
from mirt_sitniks.cli.doctor_chat import ChatTrial
from mirt_sitniks.cli.doctor_crm import Caller, CrmChecks, unset
from mirt_sitniks.cli.doctor_findings import Finding, show
from mirt_sitniks.cli.doctor_report import default_path, report_of, write
from mirt_sitniks.cli.doctor_stages import judge_stages
from mirt_sitniks.cli.doctor_store import StoreChecks
from mirt_sitniks.cli.looking import print_json
from mirt_sitniks.core.stages import BUILT_IN
from mirt_sitniks.log import shown


def run(chat: str | None = None, report: str | None = None, *, as_json: bool = False) -> int:
    """Check the settings of the environment and `.env`, with `chat` also how the account answers; 0 when all is well.

    Prints each finding as it comes, or all as JSON. `report` is a file to be written, "" for one with a name of ours.
    """
    return asyncio.run(Examination(chat, as_json).run(report))


class Examination:
    """All checks; one that fails hides none of the others."""

    def __init__(self, chat: str | None, as_json: bool) -> None:
        self.settings, self.wrong = doctor_settings.read()
        self.found: list[Finding] = []
        self._json, self._signal = as_json, 0
        self._store, self._crm = StoreChecks(self.settings), CrmChecks(self.settings)
        self._chat = chat
        self._trial: ChatTrial | None = None

    async def run(self, report: str | None) -> int:
        """The exit code: 1 when a check failed, or the chat is not as it was."""
        with self._interruptible():
            try:
                async for finding in self._findings():
                    self._tell(finding)
            except asyncio.CancelledError:
                if not self._signal:
                    raise
        return self._close(report)

    def _close(self, report: str | None) -> int:
        facts, left = self._facts(), self._trial and self._trial.not_put_back
        if report is not None:
            self._write(Path(report) if report else default_path(), facts)
        failed = sum(one.ok is False for one in self.found)
        checked = sum(one.ok is not None for one in self.found)
        if self._json:
            findings = [{"name": one.name, "ok": one.ok, "text": one.text, "cure": one.cure} for one in self.found]
            print_json({"findings": findings, "facts": facts})
        elif self._signal:
            print("\nInterrupted." + ("" if left or not self._trial else " The chat is as it was."))
        else:
            print(f"\n{failed} of {checked} checks failed." if failed else f"\nAll {checked} checks passed.")
        if left:
            print(shown(left), file=sys.stderr if self._json else sys.stdout)
            return 1
        return 128 + self._signal if self._signal else int(failed > 0)

    def _write(self, path: Path, facts: dict[str, Any]) -> None:
        try:
            write(path, report_of(facts, self.found))
        except OSError as error:
            self._tell(Finding("Report", False, f"{path} cannot be written ({error.strerror})", "name another file"))
        else:
            print(f"\nReport: {path.resolve()}", file=sys.stderr if self._json else sys.stdout)

    def _tell(self, finding: Finding) -> None:
        self.found.append(finding)
        if not self._json:
            show(finding)

    async def _findings(self) -> AsyncIterator[Finding]:
        settings, versions = self.settings, doctor_settings.versions()
        for finding in doctor_settings.judge(self.wrong):
            yield finding
        yield doctor_settings.judge_versions(versions)
        yield doctor_settings.judge_webhooks(settings)
        for finding in doctor_settings.judge_watch(settings):
            yield finding
        for finding in (
            *doctor_settings.judge_hours(settings, time.time()),
            *doctor_settings.judge_answering(settings),
        ):
            yield finding
        call: Caller | None = None
        try:
            async for finding in self._store.findings(self.wrong):
                yield finding
            nothing = tuple(unset(settings, self.wrong))
            for finding in nothing:
                yield finding
            call = None if nothing else Caller(settings, self._store.store)
            async for finding in self._asked(call):
                yield finding
        finally:
            if call:
                await call.aclose()
            await self._store.aclose()

    async def _asked(self, call: Caller | None) -> AsyncIterator[Finding]:
        """What needs the CRM, or has to say that there is none."""
        settings, seen, chat = self.settings, self._store.statuses, self._chat
        if call:
            async for finding in self._crm.findings(call):
                yield finding
            if self._crm.ready and not seen.issuperset(settings.statuses.values()):
                seen |= await self._crm.statuses(call)
            for finding in self._crm.judge_clock(call.clock_ahead):
                yield finding
        if chat is not None and call and self._crm.ready:
            self._trial = ChatTrial(settings, self._store.store, chat, self._crm.managers, self._say)
            async for finding in self._trial.findings(call):
                yield finding
            seen |= self._trial.statuses
        elif chat is not None:
            yield Finding("Chat", None, "not tried: fix the above first")
        for finding in judge_stages(settings, seen):
            yield finding

    def _facts(self) -> dict[str, Any]:
        """What was found, in our own words and numbers."""
        seen = {stage: name in self._store.statuses for stage, name in self.settings.statuses.items()}
        # Names of a shop's own stages are the shop's.
        own = [known for stage, known in seen.items() if stage not in BUILT_IN]
        statuses = {stage: known for stage, known in seen.items() if stage in BUILT_IN}
        return {
            "versions": doctor_settings.versions(),
            "settings": doctor_settings.given(self.settings, self.wrong),
            "store": self._store.facts,
            "crm": self._crm.facts,
            "statuses_seen": {**statuses, "own": len(own), "own_seen": sum(own)},
            "account": self._trial and self._trial.facts,
            "put_back": None if self._trial is None else self._trial.not_put_back is None,
        }

    def _say(self, text: str) -> None:
        """A word on what goes on, while it does; that nobody can read it any more keeps nothing from being done."""
        with suppress(OSError):
            if self._json:
                print(shown(text), file=sys.stderr, flush=True)
            else:
                show(Finding("Trial", None, text))

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """A signal ends what is under way, which puts back what it has changed; another one ends that."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task

        def stop(number: int) -> None:
            if self._trial and not self._signal:
                self._say("Putting the chat back as it was; a second signal ends that, too.")
            self._signal = number
            task.cancel()

        numbers = [signal.SIGINT, signal.SIGTERM]
        if hasattr(signal, "SIGHUP"):
            numbers.append(signal.SIGHUP)
        try:
            for number in numbers:
                loop.add_signal_handler(number, stop, number)
        except (NotImplementedError, RuntimeError, ValueError):
            # Not the main thread, or Windows: there Ctrl+C cancels as well.
            numbers = []
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)
