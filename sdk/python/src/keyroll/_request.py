"""What a request to the emergency endpoint says: its token, and the name and the value in its body."""

from __future__ import annotations

import json
from typing import Any

from ._http import Headers, Refused, every, problem


def given_token(headers: Headers) -> str:
    """The token of the request: in one header, and in one of the two that may have it. Else empty: no token is that."""
    plain, bearer = every(headers, "x-admin-token"), every(headers, "authorization")
    if len(plain) + len(bearer) != 1:
        return ""
    if plain:
        return plain[0]
    scheme, _, token = bearer[0].partition(" ")
    return token if scheme.lower() == "bearer" else ""


def asked(body: bytes) -> tuple[str, str]:
    """The name and the value of the request. Raises Refused; no part of the body is in the answer."""
    try:
        # Numbers have no meaning here, and a whole number of many digits takes long to read.
        asked = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_without_duplicates, parse_int=float)
    except _Duplicate:
        asked, why = None, "it has a field twice"
    except (ValueError, RecursionError):
        asked, why = None, "it is not JSON"
    else:
        why = "it is not an object"
    if not isinstance(asked, dict):
        raise Refused(problem(400, f"the body is not understood: {why}"))
    for field in ("secret_name", "new_value"):
        if not isinstance(asked.get(field), str):
            raise Refused(problem(400, f"the body is not understood: {field} is missing or not a text"))
    return asked["secret_name"], asked["new_value"]


class _Duplicate(Exception):
    pass


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Two readers of such a body could mean different values.
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _Duplicate
    return fields
