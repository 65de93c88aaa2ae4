"""What a sync leaves in graph state: the key `sitniks`, its type and its reducer."""

from typing import Annotated, Any

from typing_extensions import TypedDict


def keep_newest(left: dict[str, Any] | None, right: dict[str, Any] | None) -> dict[str, Any]:
    """Reducer of `sitniks`: the newer `at` stands, whoever only echoes an old value changes nothing; a recorded first
    touch stays.
    """
    before = left if isinstance(left, dict) else {}
    if not isinstance(right, dict) or not right or str(right.get("at") or "") < str(before.get("at") or ""):
        return before
    return {**right, "first_touch": True} if before.get("first_touch") is True else right


SitniksValue = Annotated[dict[str, Any], keep_newest]
"""Type of the key `sitniks` in a state that declares it itself; in a dataclass or Pydantic model give it an empty dict
as its default."""


class SitniksState(TypedDict, total=False):
    """Mixin for a host's TypedDict state that shows the thread's last sync in the graph's input and output.

    `sitniks` is empty until the first sync, then `SyncResult.to_state()`: plain JSON, all keys always there. It is a
    `typing_extensions.TypedDict`, as LangGraph's `MessagesState` is; beside a base made with `typing.TypedDict` Python
    cannot inherit it: declare `sitniks: SitniksValue` there.
    """

    sitniks: SitniksValue
