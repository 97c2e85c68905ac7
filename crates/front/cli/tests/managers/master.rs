//! Workers of a gunicorn that read the value from a file when they are forked.

use std::fs;

use crate::hostile::ran::wait;
use crate::managers::service::Service;

/// A program whose every worker calls the issuer, as the other scenes' workers do.
const APP: &str = r#"
import http.client, os, threading, time
key = [line.strip()[4:] for line in open('bot.env') if line.startswith('KEY=')][0]
words = dict(word.split('=', 1) for word in os.environ['WORDS'].split())

def call():
    line = http.client.HTTPConnection('127.0.0.1', int(words['port']))
    while os.path.exists('/proc/' + words['lifeline']):
        try:
            line.request('GET', '/v1/me', headers={'Host': 'acme', 'X-Worker': 'bot', 'Authorization': 'Bearer ' + key})
            answer = line.getresponse()
            answer.read()
            refused = answer.status != 200
        except (OSError, http.client.HTTPException):
            line.close()
            refused = False
        if refused:
            open(words['refused'], 'a').write('bot was refused\n')
        time.sleep(0.06)

threading.Thread(target=call, daemon=True).start()

def app(environ, start_response):
    start_response('200 OK', [])
    return [b'']
"#;

fn start(preload: &str) -> Option<Service> {
    let runs = r#"{ master = "./run/gunicorn", reload = "HUP" }"#;
    let reads = r#"{ env_file = "./bot.env", variable = "KEY" }"#;
    let begin = format!(
        "printf 'KEY=%s\\n' \"$value\" >bot.env\nchmod 600 bot.env\ncat >app.py <<'END'{APP}END\n\
         WORDS='@WORDS@' gunicorn --daemon --workers 2 --pid run/gunicorn --bind unix:run/socket{preload} app:app"
    );
    let stop = "kill $(cat run/gunicorn); while [ -e run/gunicorn ]; do sleep 0.05; done";
    let service = Service::start("workers of gunicorn", runs, reads, &begin, stop)?;
    // The master forks its workers up to 0.1 s apart (`spawn_workers` in gunicorn/arbiter.py), and the first call comes
    // earlier: a plan made then counts fewer workers than apply finds.
    wait("both workers run", || workers(&service).len() == 2);
    Some(service)
}

/// The process ids of the workers that run now. While gunicorn replaces its PID file there may be none.
fn workers(service: &Service) -> Vec<String> {
    let master = fs::read_to_string(service.scene.path("run/gunicorn")).unwrap_or_default();
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", master.trim()));
    children.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn workers_of_gunicorn_are_moved_and_come_back() {
    let Some(service) = start("") else { return };
    service.comes_back();
    let master = fs::read_to_string(service.scene.path("run/gunicorn")).unwrap();
    let old = workers(&service);
    assert_eq!(old.len(), 2);
    service.is_moved_through_a_kill(|| workers(&service).iter().any(|pid| !old.contains(pid)));
    assert_eq!(fs::read_to_string(service.scene.path("run/gunicorn")).unwrap(), master);
}

/// The master read the value before it forked, so its new workers have the old value, although the signal succeeded.
#[test]
fn workers_of_a_preloading_gunicorn_are_not_believed() {
    let Some(service) = start(" --preload") else { return };
    service.sh("sed -i 's/^admin .*/&\\nunit_deadline = \"8s\"/' keyroll.toml");
    let plan = service.plan();
    let ran = service.run(&["apply", &plan, "--confirm", "ring"]);
    assert_ne!(ran.code, Some(0), "{}", ran.text);
    assert!(ran.entered("rolling_back"), "it was refused before the workers were told: {}", ran.text);
    let keys = service.scene.issuer.keys();
    let old = keys.iter().find(|key| key.id == service.scene.old);
    assert!(old.is_some_and(|key| !key.disabled), "the old key was ended: {}", ran.text);
    assert_eq!(service.scene.issuer.refused_workers(), [] as [String; 0], "a call was refused");
}
