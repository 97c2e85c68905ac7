//! A gateway with three providers, each with a key of its own that it takes in another way.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use keyroll_testkit::{OpenClaw, alphanumeric, free_port};
use zeroize::Zeroizing;

use crate::ran::{Ran, wait};
use crate::scene::{Scene, put};

/// One key, and the provider that it is of. The secret has the provider's name.
#[derive(Debug)]
pub struct Key {
    pub provider: &'static str,
    /// Where the key stands, as `reads` says it.
    reads: &'static str,
    /// What else `runs` says.
    runs: &'static str,
    /// Nobody answers while it takes the new one.
    pub away: bool,
}

/// One key for each mechanism.
pub const KEYS: &[Key] = &[
    Key {
        provider: "lit",
        reads: "{ file = \"./claw/openclaw.json\", format = \"json\", at = \"/models/providers/lit/apiKey\" }",
        runs: "",
        away: false,
    },
    Key { provider: "ref", reads: "{ file = \"./kept/ref.key\" }", runs: "", away: false },
    Key {
        provider: "env",
        reads: "{ env_file = \"./claw/.env\", variable = \"ENV_KEY\" }",
        runs: ", restart = [\"./claw.sh\"]",
        away: true,
    },
];

pub struct Claw {
    pub scene: Scene,
    port: u16,
    token: String,
}

impl Claw {
    /// A gateway that answers; `None` where OpenClaw cannot be had.
    pub fn start(what: &str) -> Option<Self> {
        Self::raise(what, "")
    }

    /// The same, started with the variable that its `.env` has.
    pub fn start_with_its_variable(what: &str) -> Option<Self> {
        Self::raise(what, "export ENV_KEY=$(sed -n 's/^ENV_KEY=//p' claw/.env)\n")
    }

    fn raise(what: &str, before: &str) -> Option<Self> {
        let openclaw = OpenClaw::or_skip(what)?;
        let port = free_port().unwrap();
        let scene = Scene::made(|config, _| {
            let end = config.find("[secrets.ring]").unwrap();
            let head = config[..end].to_owned();
            let ring = config[end..].to_owned();
            *config = head + &ring + &KEYS.iter().map(|key| table(key, &openclaw)).collect::<String>();
        });
        // The other scenes' own worker, which has no part here.
        let pid = fs::read_to_string(scene.path("run/api.pid")).unwrap();
        scene.end(pid.trim().parse().unwrap());
        fs::remove_file(scene.path("run/api.pid")).unwrap();
        let token = alphanumeric(32);
        let claw = Self { scene, port, token };
        claw.furnish(&openclaw, before);
        claw.scene.sh("./claw.sh");
        wait("the gateway is ready", || claw.is_ready());
        for key in KEYS {
            claw.ask(key.provider).expect("a turn on the key that everything starts with");
        }
        Some(claw)
    }

    /// Its folder, with a key of its own for each provider.
    fn furnish(&self, openclaw: &OpenClaw, before: &str) {
        let scene = &self.scene;
        let dir = scene.dir();
        scene.sh("mkdir -m 700 claw kept home");
        let issuer = scene.issuer.port();
        let mut settings = Zeroizing::new(String::with_capacity(16 * 1024));
        settings.push_str(&format!(
            "{{\"gateway\":{{\"mode\":\"local\",\"port\":{},\"bind\":\"loopback\",\
             \"auth\":{{\"mode\":\"token\",\"token\":\"{}\"}},\
             \"http\":{{\"endpoints\":{{\"chatCompletions\":{{\"enabled\":true}}}}}}}},\
             \"agents\":{{\"defaults\":{{\"model\":{{\"primary\":\"lit/fake-1\",\"fallbacks\":[\"ref/fake-1\"]}}}}}},\
             \"secrets\":{{\"providers\":{{\"keyfile\":{{\"source\":\"file\",\"path\":\"{}\",\"mode\":\"singleValue\"}}}}}},\
             \"models\":{{\"mode\":\"merge\",\"providers\":{{",
            self.port,
            self.token,
            scene.path("kept/ref.key").display()
        ));
        for (at, key) in KEYS.iter().enumerate() {
            let (id, value) = scene.issuer.mint("by hand");
            let provider = key.provider;
            scene.fed(&["secret", "add", provider, "--id", &id, "--anyway"], &value).exits(0);
            settings.push_str(if at == 0 { "" } else { "," });
            settings.push_str(&format!(
                "\"{provider}\":{{\"baseUrl\":\"http://127.0.0.1:{issuer}/v1\",\"api\":\"openai-completions\",\"apiKey\":"
            ));
            match provider {
                "lit" => ["\"", value.as_str(), "\""].iter().for_each(|part| settings.push_str(part)),
                "ref" => {
                    put(&scene.path("kept/ref.key"), &[&value], 0o600);
                    settings.push_str("{\"source\":\"file\",\"provider\":\"keyfile\",\"id\":\"value\"}");
                }
                _ => {
                    put(&scene.path("claw/.env"), &["ENV_KEY=", &value, "\n"], 0o600);
                    settings.push_str("\"${ENV_KEY}\"");
                }
            }
            settings.push_str(
                ",\"models\":[{\"id\":\"fake-1\",\"name\":\"Fake\",\"reasoning\":false,\"input\":[\"text\"],\
                 \"cost\":{\"input\":0,\"output\":0,\"cacheRead\":0,\"cacheWrite\":0},\
                 \"contextWindow\":128000,\"maxTokens\":4096}]}",
            );
        }
        settings.push_str("}}}\n");
        put(&scene.path("claw/openclaw.json"), &[&settings], 0o600);
        let (node, program) = (openclaw.node(), openclaw.program());
        let script = format!(
            "#!/bin/sh\n# Ends the gateway, and starts it again. It returns once that runs.\nset -eu\ncd {dir}\n\
             exec 9>run/claw.lock\nflock 9\n\
             if [ -e run/claw.pid ]; then\n  pid=$(cat run/claw.pid)\n  kill -TERM \"$pid\" 2>/dev/null || true\n  \
             while kill -0 \"$pid\" 2>/dev/null && ! grep -q '^State:.Z' \"/proc/$pid/status\" 2>/dev/null; do sleep 0.1; done\n  \
             rm -f run/claw.pid\nfi\n{before}\
             export HOME={dir}/home OPENCLAW_STATE_DIR={dir}/claw OPENCLAW_CONFIG_PATH={dir}/claw/openclaw.json\n\
             export OPENCLAW_DISABLE_BONJOUR=1 OPENCLAW_NO_AUTO_UPDATE=1 OPENCLAW_OFFLINE=1 PATH={bin}:$PATH\n\
             unset INVOCATION_ID JOURNAL_STREAM SYSTEMD_EXEC_PID\n\
             setsid sh -c 'echo $$ >run/claw.pid; exec 9>&-; exec {node} {program} gateway run' </dev/null >>log/claw.out 2>&1 &\n\
             while [ ! -s run/claw.pid ]; do sleep 0.05; done\n",
            dir = dir.display(),
            node = node.display(),
            program = program.display(),
            bin = node.parent().unwrap_or(Path::new("/usr/bin")).display(),
        );
        put(&scene.path("claw.sh"), &[&script], 0o755);
    }

    fn is_ready(&self) -> bool {
        let said = request(self.port, "GET /readyz HTTP/1.0\r\nHost: gateway\r\n\r\n");
        said.is_some_and(|said| said.contains("\"ready\":true"))
    }

    /// A turn with a provider's model and no other.
    pub fn ask(&self, provider: &str) -> Result<(), String> {
        asked(self.port, &self.token, provider)
    }

    /// Whoever asks for turns all the time.
    pub fn calls(&self, provider: &'static str) -> Calls {
        let (port, token) = (self.port, self.token.clone());
        let counts = Arc::new((AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0)));
        let shared = Arc::clone(&counts);
        let thread = std::thread::spawn(move || {
            while !shared.0.load(Ordering::Relaxed) {
                shared.1.fetch_add(1, Ordering::Relaxed);
                if let Err(why) = asked(port, &token, provider) {
                    println!("{provider}: {why}");
                    shared.2.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        Calls { counts, thread }
    }

    pub fn rotate(&self, key: &Key) -> Ran {
        let ran = self.scene.run(&["plan", key.provider]);
        ran.exits(0);
        let plan = ran.of("plan")[0]["id"].as_str().unwrap().to_owned();
        let ran = self.scene.run(&["apply", &plan, "--confirm", key.provider]);
        ran.exits(0).ended("done");
        ran
    }

    /// The last call of a turn was of this gateway, with a key that keyroll made; and no call was ever refused.
    pub fn on_its_new_key(&self, key: &Key) {
        self.ask(key.provider).expect("a turn on the new key");
        let calls = self.scene.issuer.model_calls();
        let last = calls.last().expect("a call");
        let keys = self.scene.issuer.keys();
        let live = keys.iter().find(|one| one.id == last.key).expect("a live key");
        assert!(live.label.starts_with("keyroll/"), "{live:?}");
        let pid = fs::read_to_string(self.scene.path("run/claw.pid")).unwrap();
        assert_eq!(last.pid, pid.trim().parse().ok(), "the process that called");
        let refused: Vec<_> = calls.iter().filter(|call| !call.accepted).collect();
        assert!(refused.is_empty(), "{refused:?}");
    }
}

fn table(key: &Key, openclaw: &OpenClaw) -> String {
    let Key { provider, reads, runs, .. } = key;
    format!(
        "\n[secrets.{provider}]\nissuer = \"file:./acme.toml\"\nadmin = \"file:./admin.key\"\n\
         [secrets.{provider}.revoke]\nold_idle_for = \"0s\"\nsoak = \"0s\"\n\
         [[secrets.{provider}.consumers]]\nname = \"claw\"\n\
         runs = {{ openclaw = \"./claw\", provider = \"{provider}\", program = \"{}\"{runs} }}\n\
         reads = {reads}\ncheck = {{ turn = \"{provider}/fake-1\" }}\n",
        openclaw.program().display()
    )
}

/// Turns that are asked for meanwhile.
pub struct Calls {
    counts: Arc<(AtomicBool, AtomicUsize, AtomicUsize)>,
    thread: JoinHandle<()>,
}

impl Calls {
    /// How many were sent, and how many failed.
    pub fn end(self) -> (usize, usize) {
        self.counts.0.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        (self.counts.1.load(Ordering::Relaxed), self.counts.2.load(Ordering::Relaxed))
    }
}

fn asked(port: u16, token: &str, provider: &str) -> Result<(), String> {
    let body =
        "{\"model\":\"openclaw/default\",\"messages\":[{\"role\":\"user\",\"content\":\"say ready\"}]}";
    let text = format!(
        "POST /v1/chat/completions HTTP/1.0\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nx-openclaw-model: {provider}/fake-1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let said = request(port, &text).ok_or("nobody answers")?;
    let first = said.lines().next().unwrap_or_default().to_owned();
    if first.contains(" 200 ") { Ok(()) } else { Err(first) }
}

fn request(port: u16, text: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(120))).ok()?;
    stream.write_all(text.as_bytes()).ok()?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said).ok()?;
    Some(String::from_utf8_lossy(&said).into_owned())
}
