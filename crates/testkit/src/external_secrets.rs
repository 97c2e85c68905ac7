use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;

use tempfile::TempDir;

use crate::go_program::GoProgram;
use crate::keeper::Keeper;
use crate::{Kubernetes, MOTO_REGION, Moto, MotoUser, free_port};

/// The program, with the two lists of what it has cut.
const PROGRAM: GoProgram = GoProgram {
    name: "external-secrets",
    module: Some((
        "github.com/external-secrets/external-secrets@v0.20.4",
        "h1:HhNAjWfFEshhItphr28SGsHzf2bUP7uDAOVLg76uNAg=",
    )),
    sources: &[
        ("pkg/provider/register/register.go", include_str!("external_secrets/providers.go")),
        ("pkg/generator/register/register.go", include_str!("external_secrets/generators.go")),
    ],
    linked: "",
    package: None,
    beside: Some("deploy/crds/bundle.yaml"),
};

/// The kinds of objects that it brings.
const KINDS: &str = "bundle.yaml";

/// The controller of External Secrets 0.20.4 beside a cluster, with moto as AWS Secrets Manager. It ends when this is
/// dropped, which is to be before its cluster.
pub struct ExternalSecrets {
    _keeper: Keeper,
    home: TempDir,
}

impl ExternalSecrets {
    /// Whether it can run here, with a cluster; otherwise a line says what is left out. This builds the program, which takes
    /// minutes where it is not in the cache.
    ///
    /// # Panics
    /// If it cannot although `CI=true`.
    pub fn is_here_or_skip(left_out: &str) -> bool {
        if !Kubernetes::is_here_or_skip(left_out) {
            return false;
        }
        if let Err(why) = PROGRAM.built() {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "{left_out} needs External Secrets here: {why}"
            );
            eprintln!("left out: {left_out} ({why})");
            return false;
        }
        true
    }

    /// Brings its kinds of objects into a cluster, and starts it. It asks this moto.
    ///
    /// # Panics
    /// If it cannot be started.
    #[allow(clippy::panic, reason = "a broken part is a broken test")]
    pub fn start(cluster: &Kubernetes, moto: &Moto) -> Self {
        match Self::started(cluster, moto) {
            Ok(controller) => controller,
            Err(error) => panic!("External Secrets could not be started: {error}"),
        }
    }

    fn started(cluster: &Kubernetes, moto: &Moto) -> io::Result<Self> {
        let program = PROGRAM.built().map_err(io::Error::other)?;
        cluster.apply(&fs::read_to_string(program.with_file_name(KINDS))?);
        // It refuses a kind without any condition, which is one that was made a moment ago.
        let wait = ["wait", "--for=condition=Established", "--timeout=100s", "crd", "--all"];
        cluster.wait("the kinds of External Secrets", || cluster.does(&wait));
        let home = tempfile::Builder::new().prefix("keyroll-external-secrets-").tempdir()?;
        let (live, aws) = (free_port()?, format!("http://127.0.0.1:{}", moto.port()));
        let words = [
            "env".to_owned(),
            format!("AWS_SECRETSMANAGER_ENDPOINT={aws}"),
            format!("AWS_STS_ENDPOINT={aws}"),
            "AWS_EC2_METADATA_DISABLED=true".to_owned(),
            format!("KUBECONFIG={}", cluster.kubeconfig().display()),
            program.display().to_string(),
            "--metrics-addr=0".to_owned(),
            format!("--live-addr=127.0.0.1:{live}"),
            "--loglevel=debug".to_owned(),
        ];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let keeper = Keeper::start(&words, File::create(log(&home))?)?;
        let controller = Self { _keeper: keeper, home };
        cluster.wait("External Secrets", || TcpStream::connect((Ipv4Addr::LOCALHOST, live)).is_ok());
        Ok(controller)
    }

    /// Makes a SecretStore of this name, which reads moto with the rights of a reader, and waits until it is valid.
    pub fn store(cluster: &Kubernetes, moto: &Moto, namespace: &str, name: &str) {
        let (id, secret) = moto.key(MotoUser::Reader);
        cluster.apply(&format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{ name: {name}-key, namespace: {namespace} }}\n\
             stringData: {{ id: '{id}', secret: '{secret}' }}\n---\n\
             apiVersion: external-secrets.io/v1\nkind: SecretStore\n\
             metadata: {{ name: {name}, namespace: {namespace} }}\n\
             spec: {{ provider: {{ aws: {{ service: SecretsManager, region: {MOTO_REGION}, auth: {{ secretRef: {{ \
             accessKeyIDSecretRef: {{ name: {name}-key, key: id }}, \
             secretAccessKeySecretRef: {{ name: {name}-key, key: secret }} }} }} }} }} }}\n"
        ));
        let store = format!("secretstore/{name}");
        cluster.kubectl(&[
            "wait",
            "--for=condition=Ready",
            "--timeout=100s",
            &store,
            "--namespace",
            namespace,
        ]);
    }

    /// What the controller has written so far.
    pub fn log(&self) -> String {
        fs::read_to_string(log(&self.home)).unwrap_or_default()
    }
}

fn log(home: &TempDir) -> PathBuf {
    home.path().join("log")
}
