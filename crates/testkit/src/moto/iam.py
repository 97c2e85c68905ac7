"""moto's IAM and STS with their checks of signatures and policies, on one loopback port.

Arguments: the port, and the file that gets the credentials of its users as JSON once they exist.

Where moto 5.2.5 is not what AWS documents, the documented behaviour is put in its place:

- A key that is Inactive cannot be used for any call, and is refused as one that does not exist. moto lets it in.
  https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateAccessKey.html,
  https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
- A refused key, signature or right is an `Error` directly in an `ErrorResponse`, as all errors of these services are. moto
  puts it into one more element, where the SDK of AWS for Rust does not find it.
  https://docs.aws.amazon.com/IAM/latest/UserGuide/programming.html

One call at a time is carried out: moto's own threads would interleave inside a call.

POST /another-party is a door beside the API: whoever makes and ends keys in a test, without a signature.
"""

import json
import os
import sys
import threading

PORT, READY = int(sys.argv[1]), sys.argv[2]

from moto import settings  # noqa: E402
from moto.core import exceptions  # noqa: E402
from moto.iam import access_control  # noqa: E402
from moto.iam.models import IAMBackend, iam_backends  # noqa: E402
from moto.moto_server.werkzeug_app import (  # noqa: E402
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server  # noqa: E402

LOCK = threading.RLock()
ACCOUNT, REGION = "123456789012", "eu-west-1"
KEYS = ["ListAccessKeys", "CreateAccessKey", "UpdateAccessKey", "DeleteAccessKey", "GetAccessKeyLastUsed"]

# The users of the tests, by name, with the actions that each one may call.
USERS = {"keyroll": KEYS, "lister": ["ListAccessKeys"], "nobody": []}

checked = access_control.IAMUserAccessKey.__init__


def only_active(self, *args, **kwargs):
    checked(self, *args, **kwargs)
    for key in iam().list_access_keys(self._owner_user_name):
        if key.access_key_id == self._access_key_id and key.status != "Active":
            raise access_control.CreateAccessKeyFailure(reason="InvalidId")


def formed(error):
    error.description = (
        '<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type>'
        f"<Code>{error.error_type}</Code><Message>{error.message}</Message></Error>"
        "<RequestId>00000000-0000-0000-0000-000000000000</RequestId></ErrorResponse>"
    )
    return error


def denied(self):
    raise formed(exceptions.AccessDeniedError(user_arn=self._access_key.arn, action=self._action))


def unsigned(self):
    raise formed(exceptions.SignatureDoesNotMatchError())


def unknown(self, _reason):
    raise formed(exceptions.InvalidClientTokenIdError())


access_control.IAMUserAccessKey.__init__ = only_active
access_control.IAMRequest._raise_access_denied = denied
access_control.IAMRequest._raise_signature_does_not_match = unsigned
access_control.IAMRequest._raise_invalid_access_key = unknown


def iam():
    return iam_backends[ACCOUNT]["aws"]


# Every secret that was ever given out, with those of deleted keys.
SECRETS = []
created = IAMBackend.create_access_key


def create_access_key(self, *args, **kwargs):
    key = created(self, *args, **kwargs)
    SECRETS.append(key.secret_access_key)
    return key


IAMBackend.create_access_key = create_access_key


def made(key):
    return {"id": key.access_key_id, "secret": key.secret_access_key}


def users():
    keys = {}
    for name, actions in USERS.items():
        iam().create_user(REGION, name)
        if actions:
            allowed = [f"iam:{action}" for action in actions]
            statement = {"Effect": "Allow", "Action": allowed, "Resource": "*"}
            document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam().put_user_policy(name, "tests", document)
        keys[name] = made(iam().create_access_key(name))
    return keys


def user(user):
    """A new user without keys and without rights."""
    iam().create_user(REGION, user)
    return {}


def make(user):
    return made(iam().create_access_key(user))


def end(user, id):
    iam().delete_access_key(id, user)
    return {}


def switch(user, id, status):
    iam().update_access_key(user, id, status)
    return {}


def keys(user):
    return {key.access_key_id: key.status for key in iam().list_access_keys(user)}


def whose(secret):
    """The id of the key with this secret."""
    for name in iam().users:
        for key in iam().list_access_keys(iam().users[name].name):
            if key.secret_access_key == secret:
                return {"id": key.access_key_id}
    return {}


def secrets():
    return SECRETS


ACTS = {
    "end": end,
    "keys": keys,
    "make": make,
    "secrets": secrets,
    "switch": switch,
    "user": user,
    "whose": whose,
}


def another_party(app):
    def answer(environ, start_response):
        if environ["PATH_INFO"] != "/another-party":
            with LOCK:
                return app(environ, start_response)
        asked = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        with LOCK:
            told = ACTS[asked.pop("act")](**asked)
        body = json.dumps(told).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return answer


def main():
    known = users()
    # From here on every request is checked.
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0.0
    app = another_party(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", PORT, app, threaded=True, request_handler=MotoRequestHandler)
    # Written beside it and renamed, so that nobody reads half of it.
    part = READY + ".part"
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(known, file)
    os.rename(part, READY)
    server.serve_forever()


main()
