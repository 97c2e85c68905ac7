"""A gateway that restarts in its process when its settings change, as OpenClaw 2026.9.6 was seen to do with `env.vars`: it
reads the change at once, and goes on with the old key, ready and answering turns, for some seconds; then it closes its port
and opens it again with the new key. `check FILE` is a call with the key in a copy of the settings."""
import ctypes, http.server, json, os, sys, threading, time, urllib.error, urllib.request


def key_of(text):
    return json.loads(text)["env"]["vars"]["VARS_KEY"]


def call(settings, key):
    url = json.loads(settings)["models"]["providers"]["vars"]["baseUrl"] + "/chat/completions"
    body = json.dumps({"model": "fake-1", "messages": [{"role": "user", "content": "ready?"}]}).encode()
    request = urllib.request.Request(url, body, {"Authorization": "Bearer " + key, "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status == 200
    except urllib.error.HTTPError:
        return False


def read(path):
    with open(path) as file:
        return file.read()


if sys.argv[1] == "check":
    text = read(sys.argv[2])
    sys.exit(0 if call(text, key_of(text)) else 1)

state, seconds, ready = sys.argv[1], float(sys.argv[2]), sys.argv[3]
libc = ctypes.CDLL(None)
libc.prctl(1, 9)  # It ends with the thread that started it.
libc.prctl(15, b"openclaw-gatewa")
settings = os.path.join(state, "openclaw.json")
fields = read("/proc/self/stat").rpartition(")")[2].split()
os.makedirs(os.path.join(state, "tmp/openclaw-0"), exist_ok=True)
with open(os.path.join(state, "tmp/openclaw-0/gateway.state.lock"), "w") as lock:
    json.dump({"pid": os.getpid(), "startTime": int(fields[19])}, lock)


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        self.answer(200, {"ready": True})

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        done = call(self.server.settings, self.server.key)
        self.answer(200 if done else 500, {})

    def log_message(self, *_):
        pass


def begin(text):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", json.loads(text)["gateway"]["port"]), Handler)
    server.settings, server.key = text, key_of(text)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


loaded = read(settings)
server = begin(loaded)
open(ready, "w").close()
while True:
    time.sleep(0.05)
    held = read(settings)
    if held == loaded:
        continue
    time.sleep(seconds)
    if read(settings) == loaded:
        continue
    server.shutdown()
    server.server_close()
    time.sleep(1)
    loaded = read(settings)
    server = begin(loaded)
