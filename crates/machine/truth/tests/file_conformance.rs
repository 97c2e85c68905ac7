//! The conformance suite, run over a file of each form.

use async_trait::async_trait;
use keyroll_port::Truth;
use keyroll_port::conformance::truth::{TruthHarness, run};
use keyroll_secret::Credential;
use keyroll_testkit::tag;

use crate::file_sample::{FORMS, Form, Scene};
use crate::sample::{credential, value};

struct AtFile {
    form: Form,
    scene: Scene,
    truth: Box<dyn Truth>,
}

#[async_trait]
impl TruthHarness for AtFile {
    async fn fresh(&mut self) -> Credential {
        self.scene = Scene::new(self.form);
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
        self.scene.holds(to);
    }

    async fn change_beside(&mut self) -> bool {
        let before = std::mem::replace(&mut self.scene.beside, tag());
        let text = self.scene.text();
        self.scene.becomes(&text.replace(&before, &self.scene.beside));
        text.contains(&before)
    }

    async fn pending_of_others(&mut self) -> String {
        unreachable!("there is no place for one")
    }

    /// What a killed write leaves would be found by its name.
    async fn pending(&self) -> Vec<String> {
        self.scene.names().into_iter().filter(|name| name.starts_with(".keyroll")).collect()
    }

    async fn without(&self, credential: &Credential) -> Vec<u8> {
        self.scene.text().replace(&value(credential), "").into_bytes()
    }
}

#[tokio::test]
async fn a_file_of_each_form_keeps_every_rule() {
    for form in FORMS {
        let scene = Scene::new(form);
        let truth = scene.truth();
        let kept = run(&mut AtFile { form, scene, truth }).await;
        kept.unwrap_or_else(|breach| panic!("{form:?}: {breach}"));
    }
}
