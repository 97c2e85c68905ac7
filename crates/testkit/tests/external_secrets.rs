//! The real External Secrets: it brings what moto gives out into a Secret, anew when it is asked to.

use keyroll_testkit::{ExternalSecrets, Kubernetes, Moto, alphanumeric};

/// Brings the member `api_key` of the secret `prod/model` into the Secret `app`, and looks again after an hour.
const EXTERNAL: &str = r#"
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: { name: app, namespace: default }
spec:
  refreshInterval: 1h
  secretStoreRef: { kind: SecretStore, name: aws }
  target: { name: app, creationPolicy: Owner }
  data: [{ secretKey: key, remoteRef: { key: prod/model, property: api_key } }]
"#;

/// The document in the store with this value.
fn document(value: &str) -> String {
    format!("{{\"api_key\":\"{value}\"}}")
}

#[test]
fn a_secret_has_the_value_of_the_store_and_gets_a_new_one_when_that_is_asked_for() {
    let left_out = "a Secret from AWS Secrets Manager";
    if !ExternalSecrets::is_here_or_skip(left_out) {
        return;
    }
    let Some(moto) = Moto::start_or_skip(left_out) else { return };
    let (first, second) = (alphanumeric(24), alphanumeric(24));
    moto.create("prod/model", &document(&first), None);
    let cluster = Kubernetes::control_plane();
    let controller = ExternalSecrets::start(&cluster, &moto);
    ExternalSecrets::store(&cluster, &moto, "default", "aws");
    cluster.apply(EXTERNAL);
    let has = |value: &str| {
        let template = "go-template={{.data.key | base64decode}}";
        let words = ["get", "secret", "app", "-o", template];
        cluster.does(&words) && cluster.kubectl(&words) == value
    };
    cluster.wait("the first value", || has(&first));
    moto.put("prod/model", &document(&second), &["AWSCURRENT"]);
    assert!(has(&first), "nobody has asked for it");
    cluster.kubectl(&["annotate", "externalsecret", "app", "force-sync=1"]);
    cluster.wait("the second value", || has(&second));
    let log = controller.log();
    assert!(!log.is_empty() && !log.contains(&first) && !log.contains(&second));
}
