"""What a worker of the proxy shows, without the proxy: a model whose id is made of the key that stood in the file when the worker started."""
import hashlib
import json
import os
import time

# Where the test says so, a worker that comes takes no requests before it may.
if os.path.exists('gated'):
    open(f'waits.{os.getpid()}', 'w').close()
    while not os.path.exists(f'go.{os.getpid()}'):
        time.sleep(0.05)

KEY = open('key').read().strip()
ID = hashlib.sha256(f'l1modelmapi_key{KEY}'.encode()).hexdigest()


async def app(scope, receive, send):
    if scope['type'] != 'http':
        return
    body, more = b'', True
    while more:
        part = await receive()
        body, more = body + part.get('body', b''), part.get('more_body', False)
    status, headers = 200, []
    if scope['path'] == '/v1/chat/completions':
        if json.loads(body)['model'] == ID:
            headers = [(b'x-litellm-model-id', ID.encode())]
        else:
            status = 400
    await send({'type': 'http.response.start', 'status': status, 'headers': headers + [(b'content-length', b'2')]})
    await send({'type': 'http.response.body', 'body': b'{}'})
