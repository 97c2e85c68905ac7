#!/usr/bin/env python3
"""An adapter for one process, `sleep 600`, that it starts anew to apply a value."""
import json, os, signal, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))
PID = os.path.join(HERE, 'pid')


def say(answer):
    print(json.dumps({'protocol': 1, **answer}))
    sys.exit(0)


def refuse(message):
    say({'error': {'effect': 'none', 'message': message}})


def pid():
    return int(open(PID).read())


def start():
    if os.path.exists(PID):
        os.kill(pid(), signal.SIGKILL)
    quiet = subprocess.DEVNULL
    child = subprocess.Popen('exec sleep 600', shell=True, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
    with open(PID, 'w') as file:
        file.write(str(child.pid))


def main():
    if sys.argv[1:] == ['start']:
        start()
        return
    with open(os.path.join(HERE, 'environment'), 'w') as file:
        file.write('\n'.join(os.environ))
    try:
        request = json.loads(sys.stdin.readline())
    except ValueError:
        refuse('no request')
    if request.get('protocol') != 1:
        refuse('another protocol')
    verb = request.get('verb')
    if verb == 'describe':
        say({'name': 'good', 'version': '1.0', 'takes': 'restart', 'proves': ['instances', 'settled']})
    elif verb == 'instances':
        say({'processes': [pid()]})
    elif verb == 'apply':
        start()
        say({'applied': True})
    elif verb == 'settled':
        say({'settled': True})
    else:
        refuse('no such verb')


main()
