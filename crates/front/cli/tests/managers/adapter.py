#!/usr/bin/env python3
"""Runs one service by a script of its own, as an adapter for keyroll."""
import json, os, signal, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
PID = os.path.join(HERE, 'run/adapter')


def say(answer):
    print(json.dumps({'protocol': 1, **answer}))
    sys.exit(0)


def refuse(message):
    say({'error': {'effect': 'none', 'message': message}})


def pid():
    return int(open(PID).read())


def start():
    if os.path.exists(PID):
        old = pid()
        try:
            os.kill(old, signal.SIGKILL)
        except ProcessLookupError:
            pass
        while os.path.exists(f'/proc/{old}'):
            time.sleep(0.02)
    quiet = subprocess.DEVNULL
    child = subprocess.Popen(['./service.sh'], cwd=HERE, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
    with open(PID + '.new', 'w') as file:
        file.write(str(child.pid))
    os.rename(PID + '.new', PID)


if sys.argv[1:] == ['start']:
    start()
    sys.exit(0)
try:
    request = json.loads(sys.stdin.readline())
except ValueError:
    refuse('no request')
if request.get('protocol') != 1:
    refuse('another protocol')
verb = request.get('verb')
if verb == 'describe':
    say({'name': 'script', 'version': '1.0', 'takes': 'restart', 'proves': ['instances']})
elif verb == 'instances':
    say({'processes': [pid()]})
elif verb == 'apply':
    start()
    say({'applied': True})
elif verb == 'settled':
    say({'settled': os.path.exists(f'/proc/{pid()}')})
else:
    refuse('no such verb')
