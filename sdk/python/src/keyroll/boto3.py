"""For boto3: ``session(key).client("s3")``. The value is a JSON object with both parts of an access key."""

from __future__ import annotations

import json
import threading
from typing import Any

import boto3
import botocore.session
from botocore.credentials import CredentialProvider, Credentials, ReadOnlyCredentials

from ._attempt import Attempts, checked
from .errors import RefusedValue

REFUSALS = frozenset(
    "AuthFailure ExpiredToken ExpiredTokenException InvalidAccessKeyId InvalidClientTokenId InvalidToken"
    " SignatureDoesNotMatch UnrecognizedClientException".split()
)


def session(key: Attempts, *, path: str = "main", **options: Any) -> Any:
    """A ``boto3.Session`` whose requests are signed with the value; a refused one is signed once more with the other.

    The object has ``AccessKeyId`` and ``SecretAccessKey``, and ``SessionToken`` if there is one.
    """
    core = botocore.session.get_session()
    found = _Rotating(checked(key), path)
    core.get_component("credential_provider").insert_before("env", found)
    core.register("before-sign", found.signing)
    core.register("needs-retry", found.answered)
    return boto3.Session(botocore_session=core, **options)


class _Rotating(Credentials, CredentialProvider):  # type: ignore[misc]
    METHOD = CANONICAL_NAME = "keyroll"
    account_id = None

    def __init__(self, key: Attempts, path: str) -> None:
        self.method, self._key, self._path = self.METHOD, key, path
        # A request is signed on the thread that says so before.
        self._here = threading.local()

    def load(self) -> Credentials:
        return self

    def signing(self, request: Any = None, **_: Any) -> None:
        """A handler of ``before-sign``: these are the credentials' next request."""
        self._here.context = request.context

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        context, self._here.context = getattr(self._here, "context", None), None
        attempt = (context or {}).pop("keyroll.following", None) or self._key.attempt(self._path)
        try:
            parts = _parts(attempt.value)
        except RefusedValue:
            attempt = attempt.refused()
            if attempt is None:
                raise
            parts = _parts(attempt.value)
        if context is not None:
            context["keyroll.attempt"] = attempt
        return parts

    access_key = property(lambda self: _parts(self._key.attempt().value).access_key)
    secret_key = property(lambda self: _parts(self._key.attempt().value).secret_key)
    token = property(lambda self: _parts(self._key.attempt().value).token)

    def answered(self, response: Any = None, request_dict: Any = None, **_: Any) -> float | None:
        """A handler of ``needs-retry``: 0 for a request that is to be sent again at once."""
        context = (request_dict or {}).get("context") or {}
        attempt = context.pop("keyroll.attempt", None)
        if attempt is None or response is None:
            return None
        status, code = response[0].status_code, response[1].get("Error", {}).get("Code")
        # The answer to a HEAD has no code. What a key may not do is no refusal of the key.
        if code in REFUSALS:
            status = 401
        elif status in (401, 403) and code not in (str(status), "Forbidden"):
            return None
        following = attempt.refused() if attempt.answered(status) else None
        context["keyroll.following"] = following
        return None if following is None else 0


def _parts(value: str) -> ReadOnlyCredentials:
    try:
        fields = {name.lower().replace("_", ""): each for name, each in json.loads(value).items()}
        found = [fields["accesskeyid"], fields["secretaccesskey"], fields.get("sessiontoken", "")]
        if all(isinstance(each, str) for each in found):
            return ReadOnlyCredentials(found[0], found[1], found[2] or None)
    except (ValueError, AttributeError, KeyError):
        pass
    # Outside of the handler: the parser's error holds the text.
    raise RefusedValue("the secret is no JSON object with the texts AccessKeyId and SecretAccessKey")
