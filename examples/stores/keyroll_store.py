"""The protocol between keyroll and a program that stands for a store, for the programs beside this file.

docs/reference/store-program.md describes the protocol. Copy this file together with the program that you use.
"""
import json
import os
import signal
import sys

PROTOCOL = 1

# keyroll ends a program after 20 seconds. Where keyroll itself was killed, the program ends by this, with what it started:
# a write that comes later could give out a key that has been revoked.
LIMIT_S = 15


class Refused(Exception):
    """An error for keyroll. The message must not hold a value."""

    def __init__(self, reason, message, effect='none'):
        super().__init__(message)
        self.reason, self.message, self.effect = reason, message, effect


def expanded(path):
    """A path with ~ for the home folder."""
    return os.path.expanduser(path)


def secret_file(path):
    """The content of a file that nobody else may read: the program's own login."""
    try:
        file = open(expanded(path), encoding='utf-8')
    except OSError as error:
        raise Refused('denied', f'{path}: {error.strerror}') from None
    with file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise Refused('denied', f'other users may read {path}: chmod 600 {path}')
        return file.read().strip()


def serve(store):
    """Answers the one request on standard input. `store` has read, write, versions and check."""
    signal.signal(signal.SIGALRM, _ended)
    signal.alarm(LIMIT_S)
    verb = None
    try:
        request = json.loads(sys.stdin.buffer.readline().decode('utf-8'))
        if not isinstance(request, dict) or request.get('protocol') != PROTOCOL:
            raise Refused('other', 'this program knows version 1 of the protocol alone')
        verb, item = request.get('verb'), request.get('item', '')
        answer = _answer(store, verb, item, request)
    except Refused as refused:
        answer = {'error': {'reason': refused.reason, 'effect': refused.effect, 'message': refused.message[:200]}}
    except ValueError:
        # The text of such an error may repeat a part of the request or of the store's answer.
        answer = _unexpected(verb, 'something was not of the expected form')
    except Exception as error:  # pylint: disable=broad-except
        answer = _unexpected(verb, type(error).__name__)
    sys.stdout.write(json.dumps({'protocol': PROTOCOL, **answer}) + '\n')


def _ended(*_):
    # keyroll makes the program the leader of a group of its own. Anybody else's group is left alone.
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _answer(store, verb, item, request):
    if verb == 'read':
        value, version, made = store.read(item)
        return {'version': version, 'value': value, **({'made': made} if made else {})}
    if verb == 'versions':
        return {'versions': store.versions(item)}
    if verb == 'check':
        return {'writable': store.check(item)}
    if verb == 'write':
        return {'version': store.write(item, request['over'], request['value'])}
    raise Refused('other', 'unknown verb')


def _unexpected(verb, what):
    effect = 'unknown' if verb == 'write' else 'none'
    return {'error': {'reason': 'other', 'effect': effect, 'message': f'unexpected: {what}'}}


class Store:
    """A store that has the current version alone."""

    def read(self, item):
        """The value, its version, and when it was made (RFC 3339) or None."""
        raise NotImplementedError

    def versions(self, item):
        _, version, made = self.read(item)
        return [{'version': version, 'labels': ['current'], **({'made': made} if made else {})}]

    def check(self, item):
        self.read(item)
        return True

    def write(self, item, over, value):
        """Replaces the value if `over` is still the version; returns the new version."""
        raise NotImplementedError


def conflict():
    return Refused('conflict', 'the store gives out another version')
