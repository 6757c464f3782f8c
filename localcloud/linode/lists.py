"""Pages, filters (X-Filter) and order of lists. Filters know equality, `+and` and `+or`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from localcloud.linode.errors import invalid

# The API's own limits: techdocs.akamai.com/linode-api/reference/pagination.
DEFAULT_PAGE_SIZE = 100
PAGE_SIZES = range(25, 501)


def page(
    items: Sequence[Mapping[str, Any]],
    query: Mapping[str, str],
    filter_header: str | None,
    *,
    newest_first: bool = False,
) -> dict[str, Any]:
    """Return one page of `items`: `{data, page, pages, results}`. Raise ApiError (400) for a bad page or filter.

    `newest_first`: the order without a requested one.
    """
    number, size = _number(query, "page", 1), _number(query, "page_size", DEFAULT_PAGE_SIZE)
    if size not in PAGE_SIZES:
        raise invalid(f"Must be {PAGE_SIZES.start}-{PAGE_SIZES.stop - 1}", "page_size")
    if number < 1:
        raise invalid("Must be 1 or more", "page")
    found, ordered = _filtered(items, filter_header) if filter_header else (list(items), False)
    if newest_first and not ordered:
        found.reverse()
    return {
        "data": found[(number - 1) * size : number * size],
        "page": number,
        "pages": max(1, -(-len(found) // size)),
        "results": len(found),
    }


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(query.get(name, default))
    except ValueError:
        raise invalid("Must be an integer", name) from None


def _filtered(items: Sequence[Mapping[str, Any]], header: str) -> tuple[list[Mapping[str, Any]], bool]:
    try:
        wanted = json.loads(header)
    except ValueError:
        raise invalid("Cannot parse filter; must be valid JSON", "X-Filter") from None
    if not isinstance(wanted, dict):
        raise invalid("Cannot parse filter; must be a JSON object", "X-Filter")
    order_by, order = wanted.pop("+order_by", None), wanted.pop("+order", "asc")
    found = [item for item in items if _matches(item, wanted)]
    if order_by is None:
        return found, False
    # Order equal values by age, so that "newest first" is right within one second.
    ranked = sorted(enumerate(found), key=lambda item: (_field(item[1], order_by), item[0]), reverse=order == "desc")
    return [item for _, item in ranked], True


def _matches(item: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    for key, value in wanted.items():
        if key == "+and":
            fits = all(_matches(item, part) for part in value)
        elif key == "+or":
            fits = any(_matches(item, part) for part in value)
        else:
            found = _field(item, key)
            fits = value in found if isinstance(found, list) else found == value
        if not fits:
            return False
    return True


def _field(item: Mapping[str, Any], path: str) -> Any:
    value: Any = item
    for part in path.split("."):
        if not isinstance(value, Mapping):
            return None
        if part not in value:
            raise invalid(f"Cannot filter on {path}", "X-Filter")
        value = value[part]
    return value
