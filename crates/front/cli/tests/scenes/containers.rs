//! Scenes of a real container engine and a real docker compose.

use keyroll_testkit::Engine;
use keyroll_testkit::command::wait;

use crate::scenes::stage::{Scene, Stage};
use crate::scenes::truth::{Line, Runs, Truth, Version};

use Version::{New, Old};

const BARE: &str = "keyroll-scene-bare:1";

/// An image in which somebody has left a value.
const BAKED: &str = "keyroll-scene-baked:1";

const SHOP: &str = "name: scene-shop
x-one: &one
  image: keyroll-scene-bare:1
  network_mode: none
  stop_signal: SIGKILL
  command: [\"/bin/sleep\", \"100000\"]
  volumes: [\"/usr:/usr:ro\"]
services:
  web:
    <<: *one
    env_file: [web.env]
  main:
    <<: *one
    env_file: [pair.env]
  sidecar:
    <<: *one
    env_file: [pair.env]
  node:
    <<: *one
    environment: { NODE_API_KEY: \"${NODE}\" }
";

/// Reads its file at its start; a reload claims that it read the file again.
const SNAPSHOT: &str = "import signal, time\nkey = open('/run/secrets/key').read().strip()\n\
    signal.signal(signal.SIGHUP, lambda *_: print('reloaded', flush=True))\nprint('ready', flush=True)\n\
    while True: time.sleep(1000)\n";

pub struct Containers<'s> {
    pub engine: Engine,
    cached: Scene<'s>,
    pair: Scene<'s>,
    node: Scene<'s>,
    baked: Scene<'s>,
    snapshot: Scene<'s>,
}

impl<'s> Containers<'s> {
    pub fn raise(stage: &'s Stage) -> Option<Self> {
        let engine = Engine::start_or_skip("scenes of containers")?;
        engine.image(BARE, "own").unwrap();
        // One project: three scenes stand in one folder, each with its values.
        let [cached, pair, node] = ["shop", "shop", "shop"].map(|name| stage.scene(name));
        let [baked, snapshot] = ["baked", "snapshot"].map(|name| stage.scene(name));
        let all = Self { engine, cached, pair, node, baked, snapshot };
        all.raise_project();
        all.raise_baked();
        all.raise_snapshot();
        Some(all)
    }

    fn docker(&self, words: &[&str]) -> String {
        let output = self.engine.docker(words).current_dir(self.cached.folder()).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// What `compose restart` does, in two steps: at once the engine starts the next shim of the container while it still
    /// cleans up behind the one before, which has the same id.
    fn start_again(&self, service: &str) {
        let id = self.docker(&["compose", "ps", "--quiet", service]);
        self.docker(&["compose", "stop", service]);
        wait("the engine has cleaned up behind the container", || !names_it(&id));
        self.docker(&["compose", "start", service]);
    }

    fn pid(&self, container: &str) -> u32 {
        self.engine.first_process(container).unwrap()
    }

    fn raise_project(&self) {
        self.cached.write("compose.yaml", SHOP);
        self.project("old");
        self.docker(&["compose", "up", "--detach"]);
        self.project("new");
        self.start_again("web");
        // One of two that belong together; and one more on another node, as far as this machine can tell.
        self.docker(&["compose", "up", "--detach", "--no-deps", "main"]);
        self.docker(&[
            "compose",
            "up",
            "--detach",
            "--no-deps",
            "--no-recreate",
            "--scale",
            "node=2",
            "node",
        ]);
    }

    fn project(&self, version: &str) {
        self.cached.write("web.env", &format!("RESTART_API_KEY={{{version}}}\n"));
        self.pair.write("pair.env", &format!("PAIR_API_KEY={{{version}}}\n"));
        self.node.write(".env", &format!("NODE={{{version}}}\n"));
    }

    /// The image contains the value; one container was given another value, and one was not.
    fn raise_baked(&self) {
        let id = self.docker(&["create", BARE, "/bin/true"]);
        self.docker(&["commit", "--change", &self.baked.values.fill("ENV BAKED_API_KEY={old}"), &id, BAKED]);
        self.docker(&["rm", &id]);
        self.baked.write("api.env", "BAKED_API_KEY={new}\n");
        let file = self.baked.at("api.env");
        self.run("baked-api", &["--env-file", &file], BAKED, &["/bin/sleep", "100000"]);
        self.run("baked-job", &[], BAKED, &["/bin/sleep", "100000"]);
    }

    /// The file is changed in place, so that the container sees it, and the program says that it has reloaded it.
    fn raise_snapshot(&self) {
        self.snapshot.write("api.key", "{old}\n");
        self.snapshot.write("api.key.bak", "{old}\n");
        let mount = format!("{}:/run/secrets/key:ro", self.snapshot.at("api.key"));
        self.run("snapshot", &["--volume", &mount], BARE, &["/usr/bin/python3", "-c", SNAPSHOT]);
        let says = |word: &str| wait(word, || self.docker(&["logs", "snapshot"]).contains(word));
        says("ready");
        self.snapshot.write("api.key", "{new}\n");
        self.docker(&["kill", "--signal", "HUP", "snapshot"]);
        says("reloaded");
    }

    fn run(&self, name: &str, words: &[&str], image: &str, command: &[&str]) {
        let run = ["run", "--detach", "--name", name, "--network", "none", "--volume", "/usr:/usr:ro"];
        self.docker(&[&run[..], words, &["--stop-signal", "SIGKILL", image], command].concat());
    }

    pub fn truths(&self) -> Vec<Truth> {
        vec![self.restart(), self.sidecar(), self.nodes(), self.image(), self.reload()]
    }

    fn restart(&self) -> Truth {
        let (scene, pid) = (&self.cached, self.pid("scene-shop-web-1"));
        let says = [
            "uses a STALE value",
            "@/web.env:1 now holds",
            "to move it: docker compose -p scene-shop -f @/compose.yaml up --detach --no-deps web",
            "(not: docker compose -p scene-shop -f @/compose.yaml restart web)",
        ];
        Truth {
            cause: "5 a process manager that caches (compose)",
            name: "RESTART_API_KEY",
            copies: vec![
                (scene.at("web.env:1"), New),
                ("RESTART_API_KEY of container scene-shop-web-1".to_owned(), Old),
            ],
            instances: vec![Runs::new(pid, &[Old], New)],
            line: Line::of(pid, &says).within(scene),
        }
    }

    fn sidecar(&self) -> Truth {
        let [main, sidecar] = ["main", "sidecar"].map(|name| self.pid(&format!("scene-shop-{name}-1")));
        let of = |name: &str| format!("PAIR_API_KEY of container scene-shop-{name}-1");
        let says = ["uses a STALE value", "@/pair.env:1 now holds", "--no-deps sidecar"];
        Truth {
            cause: "6 a forgotten sidecar",
            name: "PAIR_API_KEY",
            copies: vec![(self.pair.at("pair.env:1"), New), (of("main"), New), (of("sidecar"), Old)],
            instances: vec![Runs::new(main, &[New], New), Runs::new(sidecar, &[Old], New)],
            line: Line::of(sidecar, &says).within(&self.pair),
        }
    }

    fn nodes(&self) -> Truth {
        let [first, second] = ["1", "2"].map(|number| self.pid(&format!("scene-shop-node-{number}")));
        let of = |number: &str| format!("NODE_API_KEY of container scene-shop-node-{number}");
        let says = ["uses a STALE value", "@/.env:1 now holds"];
        Truth {
            cause: "4 works on one node, not on another",
            name: "NODE_API_KEY",
            copies: vec![(self.node.at(".env:1"), New), (of("1"), Old), (of("2"), New)],
            instances: vec![Runs::new(first, &[Old], New), Runs::new(second, &[New], New)],
            line: Line::of(first, &says).within(&self.node),
        }
    }

    fn image(&self) -> Truth {
        let [api, job] = ["baked-api", "baked-job"].map(|name| self.pid(name));
        let says = ["uses ", "take from BAKED_API_KEY in image keyroll-scene-baked:1", "holds"];
        let copies = vec![
            (self.baked.at("api.env:1"), New),
            ("BAKED_API_KEY of container baked-api".to_owned(), New),
            (format!("BAKED_API_KEY in image {BAKED}"), Old),
        ];
        Truth {
            cause: "9 a value in an image",
            name: "BAKED_API_KEY",
            copies,
            instances: vec![Runs::new(api, &[New], New), Runs::new(job, &[Old], Old)],
            line: Line::of(job, &says).within(&self.baked),
        }
    }

    fn reload(&self) -> Truth {
        let (scene, pid) = (&self.snapshot, self.pid("snapshot"));
        let says = ["uses a STALE value", "memory holds", "@/api.key:1 now holds", "docker restart snapshot"];
        Truth {
            cause: "11 a snapshot after a reload that went well",
            name: "/run/secrets/key",
            copies: vec![(scene.at("api.key:1"), New), (scene.at("api.key.bak:1"), Old)],
            instances: vec![Runs::new(pid, &[Old], New)],
            line: Line::of(pid, &says).within(scene),
        }
    }
}

/// Whether a process has the id of a container in its arguments: its shim, or what cleans up behind one.
fn names_it(id: &str) -> bool {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.map(|one| std::fs::read(one.path().join("cmdline")).unwrap_or_default())
        .any(|words| words.windows(id.len()).any(|part| part == id.as_bytes()))
}
