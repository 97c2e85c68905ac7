//! A real container engine and a real docker compose: a container goes on with what it was made with.

use keyroll_manager::Docker;
use keyroll_testkit::Engine;

use crate::scene::{Scene, Told};

const IMAGE: &str = "keyroll-chain:1";

const PROJECT: &str = r#"
services:
  web:
    image: keyroll-chain:1
    network_mode: none
    stop_signal: SIGKILL
    volumes: ["/usr:/usr:ro"]
    env_file: [all.env, web.env]
    environment: { BOTH_API_KEY: "{first}", FILLED_API_KEY: "${TOKEN}" }
    command: ["/bin/sleep", "100000"]
    secrets: [key]
secrets:
  key: { file: ./key.txt }
"#;

struct Place {
    engine: Engine,
    scene: Scene,
}

impl Place {
    fn raise(what: &str) -> Option<Self> {
        let engine = Engine::start_or_skip(what)?;
        let mut scene = Scene::new();
        scene.managers.docker = Docker { host: engine.host(), ..Docker::default() };
        engine.image("keyroll-bare:1", "own").unwrap();
        let place = Self { engine, scene };
        let id = place.docker(&["create", "keyroll-bare:1", "/bin/true"]);
        let change = place.scene.filled("ENV IMAGE_API_KEY={first} OVER_API_KEY={first}");
        place.docker(&["commit", "--change", &change, &id, IMAGE]);
        place.docker(&["rm", &id]);
        Some(place)
    }

    fn docker(&self, words: &[&str]) -> String {
        let output = self.engine.docker(words).current_dir(self.scene.dir()).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn pid(&self, container: &str) -> u32 {
        self.docker(&["inspect", "--format", "{{.State.Pid}}", container]).parse().unwrap()
    }

    fn chain(&self, name: &str) -> Told {
        self.scene.chain("compose", "shop/web", name)
    }
}

#[test]
fn a_service_of_compose_gets_what_its_project_says_when_it_is_made_anew() {
    let Some(place) = Place::raise("chains of compose") else { return };
    place.scene.write("compose.yaml", &PROJECT.replace("services:", "name: shop\nservices:"));
    place.scene.write("all.env", "FILE_API_KEY={third}\n");
    place.scene.write("web.env", "FILE_API_KEY={first}\nBOTH_API_KEY={second}\n");
    place.scene.write(".env", "TOKEN={first}\n");
    place.scene.write("key.txt", "{first}\n");
    place.docker(&["compose", "up", "--detach"]);
    let web = "shop-web-1";
    let before = place.pid(web);
    let both = place.chain("BOTH_API_KEY");
    assert_eq!((both.next.as_str(), both.pids.as_slice()), ("first", &[before][..]), "{both:#?}");
    assert_eq!(both.links[0], "wins first environment: in @/compose.yaml");
    assert_eq!(both.links[1], "shadowed second env_file: @/web.env");
    assert_eq!(place.chain("IMAGE_API_KEY").next, "first");
    let secret = place.chain("/run/secrets/key");
    assert_eq!(
        (secret.next.as_str(), secret.links[0].as_str()),
        ("first", "wins first @/key.txt mounted at /run/secrets/key")
    );

    place.scene.write("web.env", "FILE_API_KEY={second}\nBOTH_API_KEY={second}\n");
    place.scene.write(".env", "TOKEN={second}\n");
    let file = place.chain("FILE_API_KEY");
    assert_eq!(file.next, "second", "{file:#?}");
    assert_eq!(
        file.links,
        [
            "wins second env_file: @/web.env",
            "shadowed third env_file: @/all.env",
            "not read first what the container shop-web-1 was made with"
        ]
    );
    let filled = place.chain("FILLED_API_KEY");
    assert_eq!(
        filled.links[0], "wins second @/.env fills TOKEN into environment: of @/compose.yaml",
        "{filled:#?}"
    );
    // What seems to apply it, and what does.
    place.docker(&["compose", "restart", "web"]);
    let restarted = place.pid(web);
    assert_ne!(restarted, before);
    assert_eq!(place.scene.started_with(restarted, "FILE_API_KEY"), "first");
    place.docker(&["compose", "up", "--detach", "--no-deps", "web"]);
    for name in ["FILE_API_KEY", "FILLED_API_KEY", "BOTH_API_KEY", "IMAGE_API_KEY"] {
        assert_eq!(place.scene.started_with(place.pid(web), name), place.chain(name).next, "{name}");
    }
    // Compose cannot say any more what it would start.
    place.scene.write("compose.yaml", "services: [");
    let lost = place.chain("FILE_API_KEY");
    assert_eq!(lost.next, "-", "{lost:#?}");
    assert!(
        place
            .scene
            .survey()
            .unseen
            .iter()
            .any(|one| one.reason == "compose cannot read the project any more")
    );
}

#[test]
fn a_container_made_by_hand_keeps_what_it_was_made_with() {
    let Some(place) = Place::raise("chains of containers") else { return };
    place.scene.write("run.env", "FILE_API_KEY={first}\n");
    let over = place.scene.filled("OVER_API_KEY={second}");
    let usr = ["--volume", "/usr:/usr:ro", "--network", "none", "--stop-signal", "SIGKILL"];
    let words =
        [&["run", "--detach", "--name", "plain"][..], &usr, &["--env", &over, "--env-file", "run.env"]]
            .concat();
    place.docker(&[&words[..], &[IMAGE, "/bin/sleep", "100000"]].concat());
    place.scene.write("run.env", "FILE_API_KEY={second}\n");
    let of = |name: &str| place.scene.chain("docker", "plain", name);
    let file = of("FILE_API_KEY");
    assert_eq!(file.links, ["wins first what the container plain was made with"]);
    let over = of("OVER_API_KEY");
    assert_eq!(
        over.links,
        [
            "wins second what the container plain was made with",
            "shadowed first ENV of the image keyroll-chain:1"
        ]
    );
    assert_eq!(of("IMAGE_API_KEY").links, ["wins first ENV of the image keyroll-chain:1"]);
    place.docker(&["restart", "plain"]);
    for name in ["FILE_API_KEY", "OVER_API_KEY", "IMAGE_API_KEY"] {
        assert_eq!(place.scene.started_with(place.pid("plain"), name), of(name).next, "{name}");
    }
    // It is told of one that does not run, too.
    place.docker(&["stop", "--time", "0", "plain"]);
    let stopped = of("FILE_API_KEY");
    assert_eq!((stopped.next.as_str(), stopped.pids.len()), ("first", 0));
}
