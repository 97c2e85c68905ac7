"""Who logs in, by the value of a secret."""

from __future__ import annotations

import json
from typing import Dict
from urllib.parse import unquote, urlsplit

from .errors import RefusedValue

_USER = ("user", "username")


def login(value: str) -> Dict[str, str]:
    """``{"user": …, "password": …}`` of a JSON object or a URL with both; else the value is the password alone.

    So user and password change together. A JSON object is what AWS Secrets Manager keeps for a database; its user is
    called ``username`` or ``user``. RefusedValue for an object without a password.
    """
    text = value.lstrip()
    if text.startswith("{"):
        return _of_object(value)
    if "://" in value and "@" in value:
        try:
            parts = urlsplit(value)
            if parts.password is not None:
                user = {"user": unquote(parts.username)} if parts.username else {}
                return {**user, "password": unquote(parts.password)}
        except ValueError:
            pass
    return {"password": value}


def _of_object(value: str) -> Dict[str, str]:
    try:
        fields = json.loads(value)
    except ValueError:
        return {"password": value}
    password = fields.get("password")
    if not isinstance(password, str):
        raise RefusedValue("the secret is a JSON object without a text `password` (beside it: `username`)")
    users = [fields[name] for name in _USER if isinstance(fields.get(name), str)]
    return {**({"user": users[0]} if users else {}), "password": password}
