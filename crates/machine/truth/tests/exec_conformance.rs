//! The conformance suite, run over a program.

use std::fs;

use async_trait::async_trait;
use keyroll_port::Truth;
use keyroll_port::conformance::truth::{TruthHarness, run};
use keyroll_secret::Credential;

use crate::exec_sample::Scene;
use crate::sample::{by, credential, value};

struct AtProgram {
    scene: Scene,
    truth: Box<dyn Truth>,
    version: u32,
}

#[async_trait]
impl TruthHarness for AtProgram {
    async fn fresh(&mut self) -> Credential {
        self.scene = Scene::good();
        self.truth = self.scene.truth();
        self.scene.old.duplicate()
    }

    fn truth(&self) -> &dyn Truth {
        &*self.truth
    }

    fn has_pending(&self) -> bool {
        false
    }

    fn credential(&mut self) -> Credential {
        credential()
    }

    async fn change(&mut self, to: &Credential) {
        self.version += 100;
        self.scene.holds(self.version, &value(to));
    }

    async fn change_beside(&mut self) -> bool {
        false
    }

    async fn pending_of_others(&mut self) -> String {
        unreachable!("there is no place for one")
    }

    async fn pending(&self) -> Vec<String> {
        Vec::new()
    }

    async fn without(&self, credential: &Credential) -> Vec<u8> {
        let text = self.scene.text();
        text.rsplit_once(',').unwrap().1.replace(&value(credential), "").into_bytes()
    }
}

#[tokio::test]
async fn a_program_keeps_every_rule() {
    let scene = Scene::good();
    let truth = scene.truth();
    run(&mut AtProgram { scene, truth, version: 100 }).await.unwrap();
}

#[tokio::test]
async fn a_program_runs_in_the_folder_of_the_configuration_and_gets_no_value_but_on_its_input() {
    let scene = Scene::good();
    let (truth, new) = (scene.truth(), credential());
    truth.give_out(&by(3), &scene.old, &new).await.unwrap();
    let (seen, ids) = (scene.read("environment"), scene.read("ids"));
    let folder = fs::canonicalize(scene.folder.path()).unwrap();
    assert!(seen.starts_with(&folder.display().to_string()), "{seen}");
    assert!(seen.contains("PATH") && !seen.contains("CARGO"), "{seen}");
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "this process has no variable to lose");
    assert!(!seen.contains(&value(&new)));
    assert_eq!(ids, "keyroll/0190-7/3\n");
    let given = truth.current().await.unwrap();
    assert_eq!((given.id.as_str(), given.unix_ms), ("8", Some(1_795_190_531_000)));
}
