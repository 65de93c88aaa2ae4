"""What the doctor says of the stages: each with its status, and whether that was seen in the account."""

from collections.abc import Collection, Iterator

from mirt_sitniks.cli.doctor_findings import Finding
from mirt_sitniks.core.spelling import alike, letters
from mirt_sitniks.settings import SitniksSettings

OTHERS = 20


def judge_stages(settings: SitniksSettings, seen: Collection[str]) -> Iterator[Finding]:
    """Each stage's status, by whether it is among those that were `seen`. The API cannot list an account's statuses, so
    of one that was not seen nothing is claimed, unless another looks the same."""
    rules = settings.rules
    wanted = {f"“{rule.status}” ({name})": (name, rule.status) for name, rule in rules.items()}
    known = [label for label, (_, status) in wanted.items() if status in seen]
    if known:
        count = f"all {len(rules)} were" if len(known) == len(rules) else f"{len(known)} of {len(rules)} were"
        yield Finding("Statuses", True, f"{count} seen in this account: {', '.join(known)}")
    named = {one for rule in rules.values() for one in (rule.status, *rule.replaces)}
    if others := sorted(set(seen) - named - {*settings.status_new}):
        text = ", ".join(f"“{one}”" for one in others[:OTHERS])
        more = f" and {len(others) - OTHERS} more" if len(others) > OTHERS else ""
        yield Finding("Statuses", None, f"also seen, of no stage: {text}{more}")
    replaced = {f"“{one}” ({name}.replaces)": (name, one) for name, rule in rules.items() for one in rule.replaces}
    near = {label: _near(settings, label, *one, seen) for label, one in {**wanted, **replaced}.items()}
    yield from (finding for finding in near.values() if finding)
    if left := [label for label in wanted if label not in known and not near[label]]:
        text = f"not seen yet: {', '.join(left)}; the API cannot list them, so compare with Sitniks, letter by letter"
        yield Finding("Statuses", None, text)


def _near(settings: SitniksSettings, label: str, stage: str, status: str, seen: Collection[str]) -> Finding | None:
    """What looks like a status that was not seen: the same to the eye, or the same but for signs and emoji."""
    if status in seen:
        return None
    where = "SITNIKS_STAGES" if stage in settings.stages else f"SITNIKS_STATUS_{stage.upper()}"
    looks, words = ({fold(one): one for one in sorted(seen)} for fold in (alike, letters))
    if same := looks.get(alike(status)):
        cure = f"write it as Sitniks does, in {where}"
        return Finding("Statuses", False, f"{label} was not seen, but “{same}” was", cure)
    if letters(status) and (other := words.get(letters(status))):
        cure = f"if that is meant, copy it into {where}"
        return Finding("Statuses", None, f"{label} was not seen, but “{other}” was", cure)
    return None
