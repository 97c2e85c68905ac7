//! A gateway with several providers, each with its own key from another kind of source.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use keyroll_testkit::command::end_one_of;
use keyroll_testkit::{OpenClaw, alphanumeric, free_port};
use zeroize::Zeroizing;

use crate::hostile::ran::Ran;
use crate::hostile::scene::{Scene, put};

/// How long a start of the gateway may take: it needs about 40 s of processor time, on a machine that may be busy.
const START_TIME_MAX: Duration = Duration::from_secs(1_200);

/// One key, and the provider that it is of. The secret has the provider's name.
#[derive(Debug)]
pub struct Key {
    pub provider: &'static str,
    /// Where the key stands, as `reads` says it.
    reads: &'static str,
    /// What else `runs` says.
    runs: &'static str,
    /// What `apiKey` says; `@VALUE@` is the key.
    api_key: &'static str,
    /// The text before the key in a file of its own.
    file: Option<(&'static str, &'static str)>,
    /// Run with `@CLAW@` as its program, before the gateway starts.
    first: &'static str,
    /// The gateway does not answer while it takes the new key.
    pub away: bool,
    /// It is rotated in every test run; the others in the nightly run.
    pub daily: bool,
}

const NONE: Key =
    Key { provider: "", reads: "", runs: "", api_key: "", file: None, first: "", away: false, daily: false };

/// One key for each source; those of each mechanism first.
pub const KEYS: &[Key] = &[
    Key {
        provider: "lit",
        reads: "{ file = \"./claw/openclaw.json\", format = \"json\", at = \"/models/providers/lit/apiKey\" }",
        api_key: "\"@VALUE@\"",
        ..NONE
    },
    Key {
        provider: "ref",
        reads: "{ file = \"./kept/ref.key\" }",
        api_key: "{\"source\":\"file\",\"provider\":\"keyfile\",\"id\":\"value\"}",
        file: Some(("kept/ref.key", "")),
        daily: true,
        ..NONE
    },
    Key {
        provider: "env",
        reads: "{ env_file = \"./claw/.env\", variable = \"ENV_KEY\" }",
        runs: ", restart = [\"./claw.sh\"]",
        api_key: "\"${ENV_KEY}\"",
        file: Some(("claw/.env", "ENV_KEY=")),
        away: true,
        ..NONE
    },
    Key {
        provider: "exe",
        reads: "{ file = \"./kept/exe.key\" }",
        api_key: "{\"source\":\"exec\",\"provider\":\"resolver\",\"id\":\"exe\"}",
        file: Some(("kept/exe.key", "")),
        ..NONE
    },
    Key {
        provider: "sto",
        reads: "{ file = \"./kept/sto.key\" }",
        api_key: "{\"source\":\"store\",\"provider\":\"default\",\"id\":\"STO_KEY\"}",
        file: Some(("kept/sto.key", "")),
        first: "@CLAW@ secrets store set STO_KEY --kind secret <kept/sto.key",
        ..NONE
    },
    Key {
        provider: "pro",
        reads: "{ file = \"./kept/pro.key\" }",
        api_key: "\"pro:manual\"",
        file: Some(("kept/pro.key", "")),
        first: "@CLAW@ models auth paste-api-key --provider pro --profile-id pro:manual --agent main <kept/pro.key",
        ..NONE
    },
    Key {
        provider: "vars",
        reads: "{ file = \"./claw/openclaw.json\", format = \"json\", at = \"/env/vars/VARS_KEY\" }",
        api_key: "\"${VARS_KEY}\"",
        away: true,
        ..NONE
    },
];

/// Those of this run: `KEYROLL_AGENTS=full` all, other words those of which they are the names (`lit,pro`).
pub fn chosen() -> Vec<&'static Key> {
    let word = std::env::var("KEYROLL_AGENTS").unwrap_or_default();
    let wanted = |key: &&Key| match word.as_str() {
        "" => key.daily,
        "full" => true,
        words => words.split(',').any(|word| key.provider == word),
    };
    KEYS.iter().filter(wanted).collect()
}

/// The end of a provider.
const MODELS: &str = ",\"models\":[{\"id\":\"fake-1\",\"name\":\"Fake\",\"reasoning\":false,\"input\":[\"text\"],\
                      \"cost\":{\"input\":0,\"output\":0,\"cacheRead\":0,\"cacheWrite\":0},\
                      \"contextWindow\":128000,\"maxTokens\":4096}]}";

/// An operator's program that resolves references.
const RESOLVER: &str = "#!/bin/sh\ncat >/dev/null\n\
    printf '{\"protocolVersion\":1,\"values\":{\"exe\":\"%s\"}}' \"$(cat @DIR@/kept/exe.key)\"\n";

pub struct Claw {
    pub scene: Scene,
    pub keys: Vec<&'static Key>,
    port: u16,
    token: String,
    node: PathBuf,
}

impl Drop for Claw {
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.scene.path("run/claw.pid")).unwrap_or_default();
        pid.trim().parse().into_iter().for_each(|pid| end_one_of(pid, &self.node));
    }
}

impl Claw {
    /// A gateway that answers; `None` where OpenClaw cannot be had.
    pub fn start(what: &str) -> Option<Self> {
        Self::raise(what, chosen(), "")
    }

    /// The same, started with the variable that its `.env` has.
    pub fn start_with_its_variable(what: &str) -> Option<Self> {
        let env = KEYS.iter().filter(|key| key.provider == "env").collect();
        Self::raise(what, env, "export ENV_KEY=$(sed -n 's/^ENV_KEY=//p' claw/.env)\n")
    }

    fn raise(what: &str, keys: Vec<&'static Key>, before: &str) -> Option<Self> {
        let openclaw = OpenClaw::or_skip(what)?;
        let port = free_port().unwrap();
        let scene = Scene::made(|config, _| {
            *config += &keys.iter().map(|key| table(key, &openclaw)).collect::<String>();
        });
        // The other scenes' own worker, which has no part here.
        let pid = fs::read_to_string(scene.path("run/api.pid")).unwrap();
        scene.end(pid.trim().parse().unwrap());
        fs::remove_file(scene.path("run/api.pid")).unwrap();
        let token = alphanumeric(32);
        let claw = Self { scene, keys, port, token, node: openclaw.node() };
        claw.furnish(&openclaw, before);
        claw.scene.sh("./claw.sh");
        let end = Instant::now() + START_TIME_MAX;
        while !claw.is_ready() {
            assert!(Instant::now() < end, "the gateway never was ready");
            std::thread::sleep(Duration::from_millis(200));
        }
        for key in &claw.keys {
            claw.ask(key.provider).expect("a turn on the key that everything starts with");
        }
        Some(claw)
    }

    /// Its folder, with a key of its own for each provider.
    fn furnish(&self, openclaw: &OpenClaw, before: &str) {
        let scene = &self.scene;
        scene.sh("mkdir -m 700 claw kept home");
        let minted: Vec<_> = self.keys.iter().map(|key| (key, scene.issuer.mint("by hand"))).collect();
        let mut settings = Zeroizing::new(String::with_capacity(64 * 1024));
        settings.push_str(&self.head());
        for (at, (key, (_, value))) in minted.iter().enumerate() {
            settings.push_str(if at == 0 { "" } else { "," });
            let issuer = scene.issuer.port();
            let place =
                format!("\"baseUrl\":\"http://127.0.0.1:{issuer}/v1\",\"api\":\"openai-completions\"");
            settings.push_str(&format!("\"{}\":{{{place},\"apiKey\":", key.provider));
            let (left, right) = key.api_key.split_once("@VALUE@").unwrap_or((key.api_key, ""));
            let literal = key.api_key.contains("@VALUE@");
            [left, if literal { value.as_str() } else { "" }, right]
                .iter()
                .for_each(|part| settings.push_str(part));
            settings.push_str(MODELS);
            if let Some((file, before)) = key.file {
                put(&scene.path(file), &[before, value, "\n"], 0o600);
            }
        }
        settings.push_str("}}");
        for (_, (_, value)) in minted.iter().filter(|(key, _)| key.provider == "vars") {
            [",\"env\":{\"vars\":{\"VARS_KEY\":\"", value.as_str(), "\"}}"]
                .iter()
                .for_each(|part| settings.push_str(part));
        }
        settings.push_str("}\n");
        put(&scene.path("claw/openclaw.json"), &[&settings], 0o600);
        for (key, (id, value)) in &minted {
            scene.fed(&["secret", "add", key.provider, "--id", id], value).exits(0);
        }
        put(
            &scene.path("kept/resolver"),
            &[&RESOLVER.replace("@DIR@", scene.dir().to_str().unwrap())],
            0o755,
        );
        put(&scene.path("claw.sh"), &[&self.script(openclaw, before)], 0o755);
        for key in self.keys.iter().filter(|key| !key.first.is_empty()) {
            let program = format!("{} {}", openclaw.node().display(), openclaw.program().display());
            scene.sh(&format!(
                "{}\n{} >/dev/null",
                self.around(openclaw),
                key.first.replace("@CLAW@", &program)
            ));
        }
    }

    /// The settings up to the providers.
    fn head(&self) -> String {
        format!(
            "{{\"gateway\":{{\"mode\":\"local\",\"port\":{},\"bind\":\"loopback\",\
             \"auth\":{{\"mode\":\"token\",\"token\":\"{}\"}},\
             \"http\":{{\"endpoints\":{{\"chatCompletions\":{{\"enabled\":true}}}}}}}},\
             \"agents\":{{\"defaults\":{{\"model\":{{\"primary\":\"{}/fake-1\"}}}},\
             \"entries\":{{\"main\":{{\"default\":true}},\"work\":{{}}}}}},\
             \"secrets\":{{\"providers\":{{\
             \"keyfile\":{{\"source\":\"file\",\"path\":\"{dir}/kept/ref.key\",\"mode\":\"singleValue\"}},\
             \"resolver\":{{\"source\":\"exec\",\"command\":\"{dir}/kept/resolver\"}}}}}},\
             \"models\":{{\"mode\":\"merge\",\"providers\":{{",
            self.port,
            self.token,
            self.keys[0].provider,
            dir = self.scene.dir().display()
        )
    }

    /// What its program finds around it.
    fn around(&self, openclaw: &OpenClaw) -> String {
        format!(
            "export HOME={dir}/home OPENCLAW_STATE_DIR={dir}/claw OPENCLAW_CONFIG_PATH={dir}/claw/openclaw.json\n\
             export OPENCLAW_DISABLE_BONJOUR=1 OPENCLAW_NO_AUTO_UPDATE=1 OPENCLAW_OFFLINE=1 PATH={bin}:$PATH\n\
             unset INVOCATION_ID JOURNAL_STREAM SYSTEMD_EXEC_PID",
            dir = self.scene.dir().display(),
            bin = openclaw.node().parent().unwrap_or(Path::new("/usr/bin")).display(),
        )
    }

    fn script(&self, openclaw: &OpenClaw, before: &str) -> String {
        format!(
            "#!/bin/sh\n# Ends the gateway, and starts it again. It returns once that runs.\nset -eu\ncd {dir}\n\
             exec 9>run/claw.lock\nflock 9\n\
             if [ -e run/claw.pid ]; then\n  pid=$(cat run/claw.pid)\n  kill -TERM \"$pid\" 2>/dev/null || true\n  \
             while kill -0 \"$pid\" 2>/dev/null && ! grep -q '^State:.Z' \"/proc/$pid/status\" 2>/dev/null; do sleep 0.1; done\n  \
             rm -f run/claw.pid\nfi\n{before}{around}\n\
             setsid sh -c 'echo $$ >run/claw.pid; exec 9>&-; exec {node} {program} gateway run' </dev/null >>log/claw.out 2>&1 &\n\
             while [ ! -s run/claw.pid ]; do sleep 0.05; done\n",
            dir = self.scene.dir().display(),
            around = self.around(openclaw),
            node = openclaw.node().display(),
            program = openclaw.program().display(),
        )
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
        let over = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let (mut answered, began) = (Vec::new(), Instant::now());
            while !shared.load(Ordering::Relaxed) {
                let said = asked(port, &token, provider);
                answered.push(said.is_ok());
                if let Err(why) = said {
                    println!("{provider}, {:?} after the first turn: {why}", began.elapsed());
                }
                std::thread::sleep(Duration::from_millis(500));
            }
            answered
        });
        Calls { over, thread }
    }

    pub fn rotate(&self, key: &Key) -> Ran {
        let ran = self.scene.run(&["plan", key.provider]);
        ran.exits(0);
        let plan = ran.plan();
        let ran = self.scene.run(&["apply", &plan, "--confirm", key.provider]);
        ran.exits(0).ended("done");
        ran
    }

    /// To the last step that can be rolled back, and then a rollback.
    pub fn there_and_back(&self, key: &Key) {
        self.ask(key.provider).expect("a turn before");
        let before = self.last_key();
        let ran = self.scene.run(&["plan", key.provider]);
        let plan = ran.exits(0).plan();
        self.scene.run(&["apply", &plan, "--confirm", key.provider, "--until", "quiesce"]).exits(4).paused();
        self.ask(key.provider).expect("a turn on the new key");
        assert_ne!(self.last_key(), before, "{}: it was moved", key.provider);
        self.scene.run(&["abort", &plan]).exits(5).ended("rolled_back");
        self.ask(key.provider).expect("a turn on the old key again");
        assert_eq!(self.last_key(), before, "{}: it is back", key.provider);
    }

    pub fn last_key(&self) -> String {
        self.scene.issuer.model_calls().pop().expect("a call").key
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
    over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<bool>>,
}

impl Calls {
    /// How many were sent, how many failed, and how often it was that they began to fail.
    pub fn end(self) -> (usize, usize, usize) {
        self.over.store(true, Ordering::Relaxed);
        let answered = self.thread.join().unwrap();
        let failed = answered.iter().filter(|one| !**one).count();
        let began = answered.windows(2).filter(|two| two[0] && !two[1]).count();
        (answered.len(), failed, began + usize::from(answered.first() == Some(&false)))
    }
}

pub fn asked(port: u16, token: &str, provider: &str) -> Result<(), String> {
    // Of several agents none is the default one.
    let body = "{\"model\":\"openclaw/main\",\"messages\":[{\"role\":\"user\",\"content\":\"say ready\"}]}";
    let text = format!(
        "POST /v1/chat/completions HTTP/1.0\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nx-openclaw-model: {provider}/fake-1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let said = request(port, &text).ok_or("nobody answers")?;
    let first = said.lines().next().unwrap_or_default().to_owned();
    if first.contains(" 200 ") { Ok(()) } else { Err(said) }
}

fn request(port: u16, text: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(120))).ok()?;
    stream.write_all(text.as_bytes()).ok()?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said).ok()?;
    Some(String::from_utf8_lossy(&said).into_owned())
}
