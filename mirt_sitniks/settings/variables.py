"""Which variables set which setting, and what is said of a keyword that is none."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from pydantic_settings import EnvSettingsSource, PydanticBaseSettingsSource

from mirt_sitniks.core.addresses import is_public
from mirt_sitniks.core.spelling import closest
from mirt_sitniks.settings.kinds import bare

_PREFIXES = {"api": "SNITKIX_", "supabase": ""}
_ALSO = {"supabase_key": ("SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_API_KEY")}

Variables = Mapping[str, tuple[str, ...]]
"""Field -> the variables that set it; of several, the first that holds something usable."""


def variables_of(fields: Iterable[str]) -> Variables:
    """The variables of each field; of most the only one is made of its name."""
    return MappingProxyType(
        {
            field: (_PREFIXES.get(field.partition("_")[0], "SITNIKS_") + field.upper(), *_ALSO.get(field, ()))
            for field in fields
        }
    )


def values_of(variables: Variables, *sources: PydanticBaseSettingsSource) -> dict[str, Any]:
    """What the variables hold, by field; the later of `sources` wins."""
    found: dict[str, str] = {}
    for source in sources:
        if isinstance(source, EnvSettingsSource):
            found |= {name.upper(): bare(value or "") for name, value in source.env_vars.items()}
    values: dict[str, Any] = {}
    for field, names in variables.items():
        given = [value for name in names if (value := found.get(name))]
        # A host may keep its browser key in SUPABASE_KEY beside the service key in one of the others.
        usable = [value for value in given if not (field == "supabase_key" and is_public(value))]
        if given:
            values[field] = (usable or given)[0]
    return values


def strange(keywords: Iterable[str], variables: Variables) -> str | None:
    """What is wrong with the names of keywords."""
    fields = [*variables, "_env_file"]
    named = {variable: field for field, known in variables.items() for variable in known}
    for name in keywords:
        if name not in fields:
            meant = named.get(name.upper()) or closest(name, fields, 0.85)
            meant = meant or closest(name.rpartition("_")[2], fields, 0.6)
            cure = f"use {meant}=" if meant else f"use one of {', '.join(variables)}"
            return f"SitniksSettings has no {name}: {cure}."
    return None
