"""AWS Secrets Manager, by boto3, which is imported when a value is fetched for the first time."""

from __future__ import annotations

import json
import os
import re
from typing import Any, Callable

from .._values import Unpicklable, Versioned, clean
from ..errors import SourceError

CONNECT_SECONDS_MAX = 5
READ_SECONDS_MAX = 10
_CODE = re.compile(r"[A-Za-z0-9.]{1,64}")


def fetch_from_aws_secrets_manager(
    secret_id: str,
    *,
    region_name: str | None = None,
    json_key: str | None = None,
    version_stage: str = "AWSCURRENT",
    client: Any = None,
) -> Callable[[], Versioned]:
    """A fetch function for one secret of AWS Secrets Manager; ``secret_id`` is its name or ARN.

    ``json_key`` picks a text field of a secret that is a JSON object. ``client`` is a boto3 client to use; otherwise
    one is made from boto3's own settings, with time limits of 5 s to connect and 10 s to read.

    The version is AWS's VersionId. It has no order: when AWSCURRENT is moved back to an older version, that is a
    rollback and is followed. Errors are SourceError with AWS's error code alone.
    """
    if not isinstance(secret_id, str) or not secret_id.strip():
        raise ValueError("secret_id is empty")
    return _AwsSource(secret_id, region_name, json_key, version_stage, client)


class _AwsSource(Unpicklable):
    # Slots: what prints the attributes of an object would print those of the client that was given.
    __slots__ = ("_secret_id", "_region_name", "_json_key", "_version_stage", "_given", "_made", "__weakref__")

    def __init__(
        self, secret_id: str, region_name: str | None, json_key: str | None, version_stage: str, client: Any
    ) -> None:
        self._secret_id = secret_id
        self._region_name = region_name
        self._json_key = json_key
        self._version_stage = version_stage
        self._given = client
        self._made: tuple[int, Any] | None = None

    def __repr__(self) -> str:
        return f"<fetch_from_aws_secrets_manager {self._secret_id}>"

    def __call__(self) -> Versioned:
        client = self._client()
        reason: str | None = None
        answer: Any = None
        try:
            answer = client.get_secret_value(SecretId=self._secret_id, VersionStage=self._version_stage)
        except Exception as error:
            reason = _reason(error)
        if reason is not None:
            # Outside of the handler: the text of the service's error is not ours to show.
            raise SourceError(f"AWS Secrets Manager, {self._secret_id}: {reason}")
        raw = answer.get("SecretString")
        if raw is None:
            raw = answer.get("SecretBinary")
        if not isinstance(raw, (str, bytes)):
            raise SourceError(f"AWS Secrets Manager, {self._secret_id}: the answer has no value")
        text = clean(raw)
        if self._json_key is not None:
            text = _field(text, self._json_key, self._secret_id)
        version = answer.get("VersionId")
        return Versioned(text, version if isinstance(version, str) else None)

    def _client(self) -> Any:
        if self._given is not None:
            return self._given
        # A forked child must not share the parent's connections.
        process = os.getpid()
        if self._made is None or self._made[0] != process:
            self._made = (process, self._new_client())
        return self._made[1]

    def _new_client(self) -> Any:
        reason: str | None = None
        try:
            import boto3  # type: ignore[import-not-found,import-untyped,unused-ignore]
            from botocore.config import Config  # type: ignore[import-not-found,import-untyped,unused-ignore]

            limits = Config(
                connect_timeout=CONNECT_SECONDS_MAX, read_timeout=READ_SECONDS_MAX,
                retries={"mode": "standard", "total_max_attempts": 2},
            )
            # A session of its own: making clients of the default one is not safe in threads.
            return boto3.session.Session().client("secretsmanager", region_name=self._region_name, config=limits)
        except ImportError:
            reason = "boto3 is not installed: pip install boto3"
        except Exception as error:
            reason = _reason(error)
        raise SourceError(f"AWS Secrets Manager, {self._secret_id}: {reason}")


def _reason(error: Exception) -> str:
    response = getattr(error, "response", None)
    described = response.get("Error") if isinstance(response, dict) else None
    code = described.get("Code") if isinstance(described, dict) else None
    if isinstance(code, str) and _CODE.fullmatch(code):
        return code
    return type(error).__name__


def _field(text: str, name: str, secret_id: str) -> str:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    field = document.get(name) if isinstance(document, dict) else None
    if not isinstance(field, str):
        what = "is no JSON object" if not isinstance(document, dict) else f"has no text field {name}"
        raise SourceError(f"AWS Secrets Manager, {secret_id}: the value {what}")
    return field
