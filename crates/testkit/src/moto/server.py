"""moto's Secrets Manager with its checks of signatures and policies, on one loopback port.

Arguments: the port, and the file that gets the credentials of its users as JSON once they exist.

Where moto 5.2.5 is not what AWS documents, the documented behaviour is put in its place. What a compare-and-swap rests on
would otherwise not be tested:

- UpdateSecretVersionStage refuses to move a label that is attached elsewhere unless RemoveFromVersionId names that very
  version, and changes nothing then. moto attaches a label twice, and takes it off before it looks at the target.
  https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html
- PutSecretValue with the token of a version that exists is ignored if the value is the same, and refused otherwise; an
  existing version is never modified. moto replaces the value and the labels of a version that is AWSPENDING.
- PutSecretValue moves exactly the labels that it names, and AWSPREVIOUS with AWSCURRENT. moto takes all labels off the
  version that it believes to be current, and believes the wrong one after UpdateSecretVersionStage.
  https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html
- ListSecretVersionIds lists versions without labels only with IncludeDeprecated, and says when each was made. moto lists
  all, each as made now.
  https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecretVersionIds.html
- A secret that is scheduled for deletion refuses these calls with InvalidRequestException, and a replica refuses the
  calls that write. moto lets some through.
- A refused signature or right is an error of the JSON protocol, as in
  https://docs.aws.amazon.com/secretsmanager/latest/apireference/CommonErrors.html. moto answers in XML.

One call at a time is carried out: moto's own threads would interleave inside a call.

POST /another-party is a door beside the API: whoever makes and changes secrets in a test, without a signature.
"""

import json
import os
import sys
import threading
import uuid

PORT, READY = int(sys.argv[1]), sys.argv[2]

from moto import settings  # noqa: E402
from moto.core.exceptions import JsonRESTError  # noqa: E402
from moto.iam.access_control import IAMRequest  # noqa: E402
from moto.iam.models import iam_backends  # noqa: E402
from moto.moto_server.werkzeug_app import (  # noqa: E402
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.secretsmanager import exceptions as refused  # noqa: E402
from moto.secretsmanager import models, responses  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402

CURRENT, PREVIOUS = "AWSCURRENT", "AWSPREVIOUS"
LOCK = threading.RLock()
Backend, Answers = models.SecretsManagerBackend, responses.SecretsManagerResponse


def found(backend, secret_id, *, writes):
    if not backend._is_valid_identifier(secret_id):
        raise refused.SecretNotFoundException()
    secret = backend.secrets[secret_id]
    if writes and isinstance(secret, models.ReplicaSecret):
        raise refused.OperationNotPermittedOnReplica()
    if secret.is_deleted():
        raise refused.InvalidRequestException(
            "You can't perform this operation on the secret because it was marked for deletion."
        )
    return secret


def holder(secret, label):
    held = [one for one, version in secret.versions.items() if label in version["version_stages"]]
    return held[0] if held else None


def attach(secret, label, version_id):
    """Moves a label; AWSPREVIOUS follows AWSCURRENT."""
    before = holder(secret, label)
    if before == version_id:
        return
    if before is not None:
        secret.versions[before]["version_stages"].remove(label)
    secret.versions[version_id]["version_stages"].append(label)
    if label == CURRENT:
        secret.set_default_version_id(version_id)
        if before is not None:
            attach(secret, PREVIOUS, before)
        stages = secret.versions[version_id]["version_stages"]
        if PREVIOUS in stages:
            stages.remove(PREVIOUS)


def update_secret_version_stage(
    self, secret_id, version_stage, remove_from_version_id, move_to_version_id
):
    with LOCK:
        secret = found(self, secret_id, writes=True)
        for named in (remove_from_version_id, move_to_version_id):
            if named and named not in secret.versions:
                raise refused.ResourceNotFoundException(
                    f"Secrets Manager can't find the specified secret version: {named}."
                )
        held = holder(secret, version_stage)
        if held is not None and held != (remove_from_version_id or None) and held != move_to_version_id:
            raise refused.InvalidParameterException(
                f"The parameter RemoveFromVersionId can't be empty or another version. Staging label {version_stage} "
                f"is currently attached to version {held}, so you must explicitly reference that version."
            )
        if remove_from_version_id and held != remove_from_version_id:
            raise refused.InvalidParameterException(
                f"Staging label {version_stage} is not attached to version {remove_from_version_id}."
            )
        if move_to_version_id:
            attach(secret, version_stage, move_to_version_id)
        elif version_stage == CURRENT:
            raise refused.InvalidParameterException("The label AWSCURRENT can only be moved.")
        else:
            secret.versions[held]["version_stages"].remove(version_stage)
        return secret.arn, secret.name


def put_secret_value(
    self, secret_id, secret_string, secret_binary, client_request_token, version_stages
):
    with LOCK:
        secret = found(self, secret_id, writes=True)
        if len((secret_string or "").encode()) > 65536:
            raise refused.InvalidParameterException("The secret value is longer than 65536 bytes.")
        version_id = self._from_client_request_token(client_request_token)
        there = secret.versions.get(version_id)
        if there is not None:
            if (there.get("secret_string"), there.get("secret_binary")) != (secret_string, secret_binary):
                raise refused.ResourceExistsException(
                    f"You can't use ClientRequestToken {version_id} because that value is already in use for a "
                    f"version of secret {secret.arn}."
                )
            return secret.to_short_dict(include_version_stages=True, version_id=version_id)
        version = {"createdate": int(models.time.time()), "version_id": version_id, "version_stages": []}
        if secret_string is not None:
            version["secret_string"] = secret_string
        if secret_binary is not None:
            version["secret_binary"] = secret_binary
        secret.versions[version_id] = version
        for label in version_stages:
            attach(secret, label, version_id)
        if holder(secret, CURRENT) is None:
            attach(secret, CURRENT, version_id)
        return secret.to_short_dict(include_version_stages=True, version_id=version_id)


def list_secret_version_ids(self):
    with LOCK:
        secret = found(self.backend, self._get_param("SecretId"), writes=False)
        everything = self._get_bool_param("IncludeDeprecated", False)
        versions = [
            {
                "VersionId": version_id,
                "VersionStages": list(version["version_stages"]),
                "CreatedDate": version["createdate"],
            }
            for version_id, version in secret.versions.items()
            if everything or version["version_stages"]
        ]
        return json.dumps({"ARN": secret.arn, "Name": secret.name, "Versions": versions})


def locked(method):
    def call(*args, **kwargs):
        with LOCK:
            return method(*args, **kwargs)

    return call


def denied(self):
    raise JsonRESTError(
        "AccessDeniedException",
        f"User: {self._access_key.arn} is not authorized to perform: {self._action} because no identity-based policy "
        f"allows the {self._action} action",
    )


def unsigned(self):
    raise JsonRESTError(
        "InvalidSignatureException",
        "The request signature we calculated does not match the signature you provided.",
    )


def unknown(self, _reason):
    raise JsonRESTError(
        "UnrecognizedClientException", "The security token included in the request is invalid."
    )


Backend.update_secret_version_stage = update_secret_version_stage
Backend.put_secret_value = put_secret_value
Answers.list_secret_version_ids = list_secret_version_ids
for name in ("get_secret_value", "describe_secret", "create_secret", "delete_secret", "update_secret"):
    setattr(Backend, name, locked(getattr(Backend, name)))
IAMRequest._raise_access_denied = denied
IAMRequest._raise_signature_does_not_match = unsigned
IAMRequest._raise_invalid_access_key = unknown

# The users of the tests, by name, with the actions that each one may call.
USERS = {
    "keyroll": [
        "DescribeSecret",
        "GetSecretValue",
        "ListSecretVersionIds",
        "PutSecretValue",
        "UpdateSecretVersionStage",
    ],
    "reader": ["DescribeSecret", "GetSecretValue", "ListSecretVersionIds"],
    "putter": ["DescribeSecret", "GetSecretValue", "ListSecretVersionIds", "PutSecretValue"],
}
ACCOUNT, REGION = "123456789012", "eu-west-1"


def users():
    iam = iam_backends[ACCOUNT]["aws"]
    keys = {}
    for name, actions in USERS.items():
        iam.create_user(REGION, name)
        allowed = [f"secretsmanager:{action}" for action in actions]
        statement = {"Effect": "Allow", "Action": allowed, "Resource": "*"}
        iam.put_user_policy(name, "tests", json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        key = iam.create_access_key(name)
        keys[name] = {"id": key.access_key_id, "secret": key.secret_access_key}
    return keys


def backend():
    return models.secretsmanager_backends[ACCOUNT][REGION]


def create(id, text=None, binary=None, replica=None):
    backend().create_secret(
        name=id,
        secret_string=text,
        secret_binary=binary,
        description=None,
        tags=None,
        kms_key_id=None,
        client_request_token=str(uuid.uuid4()),
        replica_regions=[{"Region": replica}] if replica else [],
        force_overwrite=False,
    )
    return {}


def put(id, text, labels):
    version_id = str(uuid.uuid4())
    put_secret_value(backend(), id, text, None, version_id, labels)
    return {"version": version_id}


def versions(id):
    return {one: it["version_stages"] for one, it in backend().secrets[id].versions.items()}


def current(id):
    secret = backend().secrets[id]
    return {"text": secret.versions[holder(secret, CURRENT)]["secret_string"]}


def delete(id):
    backend().delete_secret(id, 30, False)
    return {}


ACTS = {"create": create, "put": put, "versions": versions, "current": current, "delete": delete}


def another_party(app):
    def answer(environ, start_response):
        if environ["PATH_INFO"] != "/another-party":
            return app(environ, start_response)
        asked = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        with LOCK:
            told = ACTS[asked.pop("act")](**asked)
        body = json.dumps(told).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return answer


def main():
    keys = users()
    # From here on every request is checked.
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0.0
    app = another_party(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", PORT, app, threaded=True, request_handler=MotoRequestHandler)
    # Written beside it and renamed, so that nobody reads half of it.
    part = READY + ".part"
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(keys, file)
    os.rename(part, READY)
    server.serve_forever()


main()
