//! A proxy of two workers, with a key for each source that it reads keys from.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use keyroll_testkit::issuer::without;
use keyroll_testkit::{LiteLlmProgram, alphanumeric, free_port};
use rustix::process::{Pid, Signal, kill_process};

use crate::hostile::ran::{Ran, wait};
use crate::hostile::scene::{Scene, put};

/// One key, and the source from which the proxy reads it.
#[derive(Debug)]
pub struct Source {
    pub secret: &'static str,
    /// A model that uses it.
    model: &'static str,
    /// What replaces the proxy's processes.
    runs: &'static str,
    /// Where the key stands, as `reads` says it.
    reads: &'static str,
    /// Its workers are replaced one by one, and nobody notices.
    pub rolls: bool,
    /// It is rotated in every run of the tests.
    pub daily: bool,
}

const LITELLM: &str = "litellm = \"http://127.0.0.1:@PORT@\"";

pub const SOURCES: &[Source] = &[
    Source {
        secret: "dot",
        model: "l1",
        runs: LITELLM,
        reads: "{ env_file = \"./proxy/.env\", variable = \"DOT_KEY\" }",
        rolls: true,
        daily: true,
    },
    Source {
        secret: "lit",
        model: "l2",
        runs: LITELLM,
        reads: "{ file = \"./proxy/config.yaml\", format = \"yaml\", at = \"/model_list/2/litellm_params/api_key\" }",
        rolls: true,
        daily: false,
    },
    Source {
        secret: "env",
        model: "l3",
        runs: "restart = [\"./proxy.sh\"], pid_file = \"./run/proxy.pid\", ready = \"http://127.0.0.1:@PORT@/health/liveliness\"",
        reads: "{ env_file = \"./kept/proxy.env\", variable = \"ENV_KEY\" }",
        rolls: false,
        daily: false,
    },
];

pub struct Proxy {
    pub scene: Scene,
    port: u16,
    /// The proxy's own key: it refuses to start without one.
    key: String,
}

impl Proxy {
    /// One whose workers all answer; `None` where LiteLLM cannot be had.
    pub fn start(what: &str) -> Option<Self> {
        Self::raise(what, "")
    }

    /// The same, started with the variable that its `.env` has.
    pub fn start_with_its_variable(what: &str) -> Option<Self> {
        Self::raise(what, "export DOT_KEY=$(sed -n 's/^DOT_KEY=//p' proxy/.env)\n")
    }

    fn raise(what: &str, before: &str) -> Option<Self> {
        let program = LiteLlmProgram::or_skip(what)?;
        let port = free_port().unwrap();
        let scene = Scene::made(|config, spec| {
            *spec = without(&without(spec, "op.sessions"), "op.end_session");
            *config += &SOURCES.iter().map(|source| table(source, port)).collect::<String>();
        });
        // The other scenes' own worker, which this test does not use.
        let pid = fs::read_to_string(scene.path("run/api.pid")).unwrap();
        scene.end(pid.trim().parse().unwrap());
        fs::remove_file(scene.path("run/api.pid")).unwrap();
        let key = format!("sk-{}", alphanumeric(48));
        let proxy = Self { scene, port, key };
        proxy.furnish(&program, before);
        proxy.scene.sh("./proxy.sh");
        wait("both workers answer", || {
            proxy.workers().len() == 2 && SOURCES.iter().all(|source| proxy.ask(source.model).is_ok())
        });
        Some(proxy)
    }

    fn furnish(&self, program: &LiteLlmProgram, before: &str) {
        let scene = &self.scene;
        scene.sh("mkdir -m 700 proxy kept");
        put(&scene.path("proxy.key"), &[&self.key, "\n"], 0o600);
        let issuer = scene.issuer.port();
        let entry = |name: &str, model: &str| {
            format!(
                "  - model_name: {name}\n    litellm_params:\n      model: openai/{model}\n      \
                 api_base: http://127.0.0.1:{issuer}/v1\n      api_key: "
            )
        };
        for source in SOURCES {
            let (id, value) = scene.issuer.mint("by hand");
            scene.fed(&["secret", "add", source.secret, "--id", &id, "--anyway"], &value).exits(0);
            match source.secret {
                "dot" => put(
                    &scene.path("proxy/.env"),
                    &["LITELLM_MASTER_KEY=", &self.key, "\nDOT_KEY=", &value, "\n"],
                    0o600,
                ),
                "lit" => put(
                    &scene.path("proxy/config.yaml"),
                    &[
                        "model_list:\n",
                        &entry("l1", "fake-1"),
                        "os.environ/DOT_KEY\n",
                        &entry("backup", "fake-2"),
                        "os.environ/DOT_KEY\n      timeout: 30\n      stream: false\n",
                        &entry("l2", "fake-3"),
                        &value,
                        "\n",
                        &entry("l3", "fake-4"),
                        "os.environ/ENV_KEY\n",
                        "litellm_settings:\n  fallbacks: [{l1: [backup]}]\n  num_retries: 0\n",
                    ],
                    0o600,
                ),
                _ => put(&scene.path("kept/proxy.env"), &["ENV_KEY=", &value, "\n"], 0o600),
            }
        }
        let script = format!(
            "#!/bin/sh\n# Ends the proxy, and starts it again. It returns once that answers.\nset -eu\ncd {dir}\n\
             exec 9>run/proxy.lock\nflock 9\n\
             if [ -e run/proxy.pid ]; then\n  pid=$(cat run/proxy.pid)\n  kill -TERM \"$pid\" 2>/dev/null || true\n  \
             while kill -0 \"$pid\" 2>/dev/null && ! grep -q '^State:.Z' \"/proc/$pid/status\" 2>/dev/null; do sleep 0.1; done\n  \
             rm -f run/proxy.pid\nfi\n{before}\
             set -a; . ./kept/proxy.env; set +a\ncd proxy\n\
             export HOME={dir}/proxy LITELLM_LOCAL_MODEL_COST_MAP=True\n\
             setsid sh -c 'echo $$ >../run/proxy.pid; exec 9>&-; exec {program} --config config.yaml --host 127.0.0.1 \
             --port {port} --num_workers 2 --timeout_worker_healthcheck 45 --telemetry False' </dev/null >>../log/proxy.out 2>&1 &\n\
             while [ ! -s ../run/proxy.pid ]; do sleep 0.05; done\n\
             python3 - <<'END' || {{ tail -n 60 ../log/proxy.out; exit 1; }}\nimport os, sys, time, urllib.request\n\
             until = time.time() + 300\nwhile time.time() < until:\n    \
             os.kill(int(open('../run/proxy.pid').read()), 0)\n    \
             try:\n        urllib.request.urlopen('http://127.0.0.1:{port}/health/liveliness', timeout=5)\n        sys.exit()\n    \
             except OSError:\n        time.sleep(0.2)\nsys.exit('the proxy does not answer')\nEND\n",
            dir = scene.dir().display(),
            program = program.program().display(),
            port = self.port,
        );
        put(&scene.path("proxy.sh"), &[&script], 0o755);
    }

    fn master(&self) -> Option<u32> {
        fs::read_to_string(self.scene.path("run/proxy.pid")).ok()?.trim().parse().ok()
    }

    /// The processes that its master has started and that listen.
    pub fn workers(&self) -> BTreeSet<u32> {
        let Some(master) = self.master() else { return BTreeSet::new() };
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children"));
        let children = children.unwrap_or_default();
        let numbers = children.split_ascii_whitespace().filter_map(|word| word.parse().ok());
        let listens = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.windows(10).any(|part| part == b"spawn_main")
        };
        numbers.filter(listens).collect()
    }

    /// One request for a model, as callers make it.
    pub fn ask(&self, model: &str) -> Result<(), String> {
        asked(self.port, &self.key, model)
    }

    /// Splits the proxy: one worker starts with an unknown value, as after an unfinished edit. The plan names that
    /// worker; then it is repaired.
    pub fn split(&self, source: &Source) {
        self.scene.sh(
            "cp -p proxy/.env kept/was\nother=$(tr -dc a-z0-9 </dev/urandom | head -c 40)\nsed \"s/^DOT_KEY=.*/DOT_KEY=acme_sk_$other/\" kept/was >proxy/.env",
        );
        self.replace_one();
        self.scene.sh("cat kept/was >proxy/.env; rm kept/was");
        let ran = self.scene.run(&["plan", source.secret]);
        ran.exits(1);
        assert!(ran.text.contains("K0434") && ran.text.contains("its workers differ"), "{}", ran.text);
        assert!(ran.of("plan").is_empty(), "nothing is saved that cannot be applied: {}", ran.text);
        let odd = self.odd();
        assert!(ran.text.contains(&format!("worker {odd}")), "{odd}: {}", ran.text);
        self.replace(odd);
    }

    /// Ends the oldest worker; another one comes in its place.
    fn replace_one(&self) {
        let oldest = *self.workers().first().expect("a worker");
        self.replace(oldest);
    }

    fn replace(&self, worker: u32) {
        let before = self.workers();
        kill_process(Pid::from_raw(i32::try_from(worker).unwrap()).unwrap(), Signal::TERM).unwrap();
        wait("another worker in its place answers", || {
            let now = self.workers();
            let new: Vec<&u32> = now.difference(&before).collect();
            // It has no connections yet; its output shows that it has loaded its program.
            !now.contains(&worker)
                && now.len() == before.len()
                && new.iter().all(|pid| self.started(**pid))
                && self.ask("l2").is_ok()
        });
    }

    /// Whether a worker says that it has started.
    fn started(&self, pid: u32) -> bool {
        let said = fs::read_to_string(self.scene.path("log/proxy.out")).unwrap_or_default();
        let begun = said.find(&format!("Started server process [{pid}]"));
        begun.is_some_and(|at| said[at..].contains("Application startup complete"))
    }

    /// The worker that was started last.
    fn odd(&self) -> u32 {
        // By its start, not by its number: process numbers begin again at a low one.
        let started = |pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let (_, after_name) = stat.rsplit_once(')').unwrap_or_default();
            after_name.split_ascii_whitespace().nth(19).and_then(|ticks| ticks.parse::<u64>().ok())
        };
        self.workers().into_iter().max_by_key(started).expect("a worker")
    }

    /// The callers, which request models all the time.
    pub fn calls(&self, source: &Source) -> Calls {
        let (port, model, key) = (self.port, source.model, self.key.clone());
        let counts = Arc::new((AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0)));
        let threads = (0..3)
            .map(|_| {
                let (shared, key) = (Arc::clone(&counts), key.clone());
                std::thread::spawn(move || {
                    while !shared.0.load(Ordering::Relaxed) {
                        shared.1.fetch_add(1, Ordering::Relaxed);
                        if let Err(why) = asked(port, &key, model) {
                            println!("{model}: {why}");
                            shared.2.fetch_add(1, Ordering::Relaxed);
                        }
                        std::thread::sleep(Duration::from_millis(200));
                    }
                })
            })
            .collect();
        Calls { counts, threads }
    }

    pub fn rotate(&self, source: &Source) -> Ran {
        let ran = self.scene.run(&["plan", source.secret]);
        ran.exits(0);
        assert!(!ran.text.contains("K0434"), "{}", ran.text);
        let plan = ran.plan();
        let ran = self.scene.run(&["apply", &plan, "--confirm", source.secret]);
        ran.exits(0).ended("done");
        ran
    }

    /// Each worker has called with the one key that keyroll made for it, and no call for its models was refused since.
    pub fn on_its_new_key(&self, source: &Source) {
        self.ask(source.model).expect("a model on the new key");
        let calls = self.scene.issuer.model_calls();
        let last = calls.iter().rfind(|call| models(source).contains(&call.model.as_str())).expect("a call");
        let keys = self.scene.issuer.keys();
        let live = keys.iter().find(|one| one.id == last.key).expect("a live key");
        assert!(live.label.starts_with("keyroll/"), "{live:?}");
        for model in models(source) {
            let with: BTreeSet<u32> = calls
                .iter()
                .filter(|call| call.key == live.id && call.accepted && call.model == *model)
                .filter_map(|call| call.pid)
                .collect();
            let workers = self.workers();
            assert!(workers.is_subset(&with), "{model}: {workers:?} of {with:?}");
        }
    }
}

/// What the provider calls the models that use a source's key.
fn models(source: &Source) -> &'static [&'static str] {
    match source.secret {
        "dot" => &["fake-1", "fake-2"],
        "lit" => &["fake-3"],
        _ => &["fake-4"],
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let all = self.workers().into_iter().chain(self.master());
        let ids: Vec<Pid> = all.filter_map(|pid| i32::try_from(pid).ok().and_then(Pid::from_raw)).collect();
        // The master last: it would start others in their place.
        for id in ids.iter().rev() {
            let _ = kill_process(*id, Signal::KILL);
        }
    }
}

fn table(source: &Source, port: u16) -> String {
    let Source { secret, runs, reads, .. } = source;
    let runs = runs.replace("@PORT@", &port.to_string());
    format!(
        "\n[secrets.{secret}]\nissuer = \"file:./acme.toml\"\nadmin = \"file:./admin.key\"\nunit_deadline = \"10m\"\nphase_deadline = \"30m\"\n\
         [secrets.{secret}.revoke]\nold_idle_for = \"0s\"\nsoak = \"0s\"\n\
         [[secrets.{secret}.consumers]]\nname = \"proxy\"\nruns = {{ {runs} }}\nreads = {reads}\n\
         check = {{ litellm = \"http://127.0.0.1:{port}\", config = \"./proxy/config.yaml\", key = \"file:./proxy.key\" }}\n"
    )
}

/// Requests that are made meanwhile.
pub struct Calls {
    counts: Arc<(AtomicBool, AtomicUsize, AtomicUsize)>,
    threads: Vec<JoinHandle<()>>,
}

impl Calls {
    /// How many were sent, and how many failed.
    pub fn end(self) -> (usize, usize) {
        self.counts.0.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        (self.counts.1.load(Ordering::Relaxed), self.counts.2.load(Ordering::Relaxed))
    }
}

fn asked(port: u16, key: &str, model: &str) -> Result<(), String> {
    let body =
        format!("{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"say ready\"}}]}}");
    let text = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {key}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let failed = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(180))).map_err(failed)?;
    stream.write_all(text.as_bytes()).map_err(failed)?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said).map_err(failed)?;
    let said = String::from_utf8_lossy(&said);
    let first = said.lines().next().unwrap_or_default().to_owned();
    if first.contains(" 200 ") { Ok(()) } else { Err(first) }
}
