"""Traffic on a project whose servers are killed again and again: what was told, and what became of it."""

import asyncio
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

from mirt_sitniks.core.result import Outcome
from mirt_sitniks.sandbox import Sandbox
from mirt_sitniks.service import SitniksChatService
from mirt_sitniks.settings import SitniksSettings
from tests.postgres.stack import Stack

PROMISED = (Outcome.QUEUED, Outcome.SYNCED, Outcome.PARTIAL)
STAGES = ("first_touch", "give_requisites", "escalation")


def service(project: Stack, crm: Sandbox, **values: Any) -> SitniksChatService:
    """A process of the shop."""
    settings = {"api_url": crm.url, "api_key": crm.key, "supabase_url": project.url, "store": "supabase"}
    key = project.keys.service_role
    return SitniksChatService(SitniksSettings(**{**settings, "supabase_key": key, **values}, _env_file=None))


def recorded(project: Stack) -> set[tuple[str, str]]:
    """Session and key of all intents in the ledger."""
    rows = project.sql("select session, key from public.sitniks_ledger where kind = 'intent'")
    return {(str(session), str(key)) for session, key in rows}


def under_fire(project: Stack, what: str, *, kills: int, stages: int, seed: int = 1) -> dict[str, Any]:
    """So many stages are asked for while PostgREST (`rest`) or PostgreSQL (`database`) is killed so many times.

    `lost`: answered `queued` or better and not in the ledger when all is quiet; `refused`: answered anything else;
    `held`: the longest that a reply was.
    """
    # An answer that was given is on the disk, as in any project; for speed the others of these tests leave that out.
    project.sql("alter role authenticator set synchronous_commit = on", user="supabase_admin")
    project.kill()
    project.restart()
    random, told, held, done = Random(seed), dict[tuple[str, str], Outcome](), [0.0], threading.Event()

    async def visit(number: int, host: SitniksChatService) -> None:
        session, stage = f"s{number // 3}", STAGES[number % 3]
        began = time.monotonic()
        name = f"customer.{number // 3}"
        result = await host.sync(stage, session=session, instagram_username=name, intent=f"{number}")
        held.append(time.monotonic() - began)
        told[session, stage if stage == "first_touch" else f"{stage}:{number}"] = result.outcome

    async def shop(hosts: list[SitniksChatService]) -> None:
        visits = []
        number = 0
        while number < stages or not done.is_set():
            visits.append(asyncio.ensure_future(visit(number, hosts[number // 3 % len(hosts)])))
            number += 1
            # The last ones come when the last kill is over.
            await asyncio.sleep(random.expovariate(40.0) if number < stages else 0.2)
        await asyncio.gather(*visits)

    def fire() -> None:
        stop, start = (project.kill, project.restart) if what == "rest" else (project.crash, project.recover)
        for _ in range(kills):
            time.sleep(random.uniform(0.2, 1.0))
            stop()
            time.sleep(random.uniform(0.0, 0.5))
            start()

    async def all_of_it() -> None:
        hosts = [service(project, crm) for _ in range(2)]
        await shop(hosts)
        for _ in range(300):
            there = await asyncio.to_thread(recorded, project)
            if not {one for one, outcome in told.items() if outcome in PROMISED} - there:
                break
            await asyncio.sleep(0.1)
        await asyncio.gather(*(host.aclose() for host in hosts))

    with Sandbox() as crm, ThreadPoolExecutor(1) as thread:
        visits = thread.submit(lambda: asyncio.run(all_of_it()))
        try:
            # Here, because servers end with the thread that has started them.
            fire()
        finally:
            done.set()
        visits.result()
        there = recorded(project)
        refused = [one.status for one in crm.calls].count(429)
    return {
        "stages": len(told),
        "kills": kills,
        "told": {outcome.value: count for outcome, count in Counter(told.values()).items()},
        "lost": sum(1 for one, outcome in told.items() if outcome in PROMISED and one not in there),
        "refused": sum(1 for outcome in told.values() if outcome not in PROMISED),
        "429s": refused,
        "held": round(max(held), 2),
    }
