"""A master that forks new workers on USR2, and ends the old ones once those serve."""
import os, select, signal, socket, sys

listening = socket.socket()
listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listening.bind(('127.0.0.1', int(sys.argv[1])))
listening.listen(128)
listening.setblocking(False)


def serve(ready):
    import app
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    os.write(ready, b'.')
    while not ended:
        if not select.select([listening], [], [], 0.1)[0]:
            continue
        try:
            stream, _ = listening.accept()
        except BlockingIOError:
            continue
        with stream:
            stream.setblocking(True)
            seen = b''
            while not seen.endswith(b'\r\n\r\n'):
                part = stream.recv(4096)
                if not part:
                    break
                seen += part
            if not seen:
                continue
            status, body = app.answer(seen.split(b' ')[1].decode())
            stream.sendall(f'HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n'.encode() + body)


def fork():
    reading, ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        serve(ready)
        os._exit(0)
    os.close(ready)
    os.read(reading, 1)
    os.close(reading)
    return pid


signals = {signal.SIGUSR2, signal.SIGTERM}
workers = [fork() for _ in range(2)]
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
with open('run/master.new', 'w') as file:
    file.write(str(os.getpid()))
os.rename('run/master.new', 'run/master')
told = None
while told != signal.SIGTERM:
    told = signal.sigwait(signals)
    old, workers = workers, [] if told == signal.SIGTERM else [fork() for _ in range(2)]
    for pid in old:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
