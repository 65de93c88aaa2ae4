"""For the tests of hosts: pytest's plugin with its fixture `sitniks_sandbox`, and the contract of stores.

Needs the extra `testing`. Importing this loads nothing: pytest does it in every project that has the package.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mirt_sitniks.testing.door import SitniksSandbox

__all__ = ["SitniksSandbox"]


def __getattr__(name: str) -> Any:
    """The fixture's class on first use."""
    if name == "SitniksSandbox":
        from mirt_sitniks.testing.door import SitniksSandbox

        return SitniksSandbox
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
