"""Where values come from: keyroll's socket, AWS Secrets Manager, Vault or OpenBao, a file or the environment.

Each function returns a fetch function for ``RotatableSecret``. Any function that returns text does as well.
"""

from __future__ import annotations

from ._aws import fetch_from_aws_secrets_manager
from ._file import fetch_from_env_with_file_watch
from ._keyroll import fetch_from_keyroll
from ._vault import fetch_from_vault

__all__ = [
    "fetch_from_aws_secrets_manager", "fetch_from_env_with_file_watch", "fetch_from_keyroll", "fetch_from_vault",
]
