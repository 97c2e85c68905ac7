"""A program whose every worker reads the value from a file when it is forked, and calls the issuer for each request."""
import http.client, os

key = [line.strip()[4:] for line in open('bot.env') if line.startswith('KEY=')][0]
words = dict(word.split('=', 1) for word in os.environ['WORDS'].split())
line = None


def call():
    global line
    for _ in range(2):
        try:
            if line is None:
                line = http.client.HTTPConnection('127.0.0.1', int(words['issuer']), timeout=10)
            line.request('GET', '/v1/me', headers={'Host': 'acme', 'X-Worker': 'bot', 'Authorization': 'Bearer ' + key})
            answer = line.getresponse()
            answer.read()
            if answer.status != 200:
                open(words['refused'], 'a').write('bot was refused\n')
            return answer.status == 200
        except (OSError, http.client.HTTPException):
            line.close()
            line = None
    return False


def answer(path):
    good = path == '/ready' or call()
    return (200, b'bot') if good else (503, b'the query failed')


def wsgi(environ, start_response):
    status, body = answer(environ['PATH_INFO'])
    start_response(f'{status} X', [('Content-Length', str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    status, body = answer(scope['path'])
    length = (b'content-length', str(len(body)).encode())
    await send({'type': 'http.response.start', 'status': status, 'headers': [length]})
    await send({'type': 'http.response.body', 'body': body})
