#!/usr/bin/env python3
"""A store for one value in the file `store` beside this program: a line with the number of the version, and the value."""
import json, os, sys

HERE = os.path.dirname(os.path.abspath(__file__))
STORE = os.path.join(HERE, 'store')


def say(answer):
    print(json.dumps({'protocol': 1, **answer}))
    sys.exit(0)


def refuse(reason, effect='none', message='no'):
    say({'error': {'reason': reason, 'effect': effect, 'message': message}})


def load():
    with open(STORE) as file:
        version, value = json.load(file)
    return version, value


def save(version, value):
    with open(STORE + '.new', 'w') as file:
        json.dump([version, value], file)
    os.rename(STORE + '.new', STORE)


def main():
    line = sys.stdin.readline()
    with open(os.path.join(HERE, 'environment'), 'w') as file:
        file.write('\n'.join([os.getcwd(), *sys.argv, *os.environ]))
    try:
        request = json.loads(line)
    except ValueError:
        refuse('other')
    if request.get('protocol') != 1:
        refuse('other')
    if request.get('item') != 'item':
        refuse('missing')
    verb = request.get('verb')
    version, value = load()
    if verb == 'read':
        say({'version': str(version), 'made': '2026-11-20T16:02:11Z', 'value': value})
    elif verb == 'versions':
        say({'versions': [{'version': str(version), 'labels': ['current']}]})
    elif verb == 'check':
        say({'writable': True})
    elif verb == 'write':
        with open(os.path.join(HERE, 'ids'), 'a') as file:
            file.write(request['id'] + '\n')
        if request['over'] != str(version):
            refuse('conflict')
        save(version + 1, request['value'])
        say({'version': str(version + 1)})
    else:
        refuse('other')


main()
