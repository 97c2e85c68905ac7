//! A secret of AWS Secrets Manager, and adapters for it.

use std::error::Error;
use std::fs;

use keyroll_port::{Failure, MadeBy, RotationId};
use keyroll_secret::{Credential, Fields, SecretBytes};
use keyroll_testkit::{Moto, MotoUser, TempDir, alphanumeric, tag};
use keyroll_truth::{AwsSecret, AwsSettings, AwsTruth};

/// The key in the JSON object of a secret.
pub(crate) const KEY: &str = "VONAGE_SMS_API_KEY";

/// The profile that every adapter of a test takes.
pub(crate) const PROFILE: &str = "test";

/// An adapter, with the configuration that it reads.
pub(crate) struct Opened {
    pub(crate) truth: AwsTruth,
    _home: TempDir,
}

/// Opens a secret with this configuration of AWS.
pub(crate) async fn try_open(config: &str, id: &str, key: Option<&str>) -> Result<Opened, Failure> {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config");
    fs::write(&file, config).unwrap();
    let settings =
        AwsSettings { profile: Some(PROFILE.to_owned()), config_file: Some(file), ..AwsSettings::default() };
    let reference = key.map_or_else(|| format!("aws-sm:{id}"), |key| format!("aws-sm:{id}#{key}"));
    let key = key.map(str::to_owned);
    let secret = AwsSecret { id: id.to_owned(), key, field: "value".to_owned(), reference };
    Ok(Opened { truth: AwsTruth::open(secret, &settings).await?, _home: home })
}

pub(crate) async fn open(config: &str, id: &str, key: Option<&str>) -> Opened {
    try_open(config, id, key).await.unwrap_or_else(|failure| panic!("{}", shown(&failure)))
}

/// A secret at moto whose JSON object has this value and a second key.
pub(crate) struct Scene {
    pub(crate) moto: Moto,
    pub(crate) id: String,
    pub(crate) old: Credential,
    /// The value of the second key.
    pub(crate) beside: String,
}

impl Scene {
    pub(crate) fn start(what: &str) -> Option<Self> {
        let moto = Moto::start_or_skip(what)?;
        let (id, old, beside) = (format!("prod/{}", tag()), credential(), tag());
        moto.create(&id, &document(&old, &beside), None);
        Some(Self { moto, id, old, beside })
    }

    /// The adapter with the rights that it needs, through the server itself or a relay.
    pub(crate) async fn through(&self, port: u16) -> Opened {
        open(&self.moto.profile(PROFILE, MotoUser::Keyroll, port), &self.id, Some(KEY)).await
    }

    pub(crate) async fn direct(&self) -> Opened {
        self.through(self.moto.port()).await
    }

    /// Whether the document that is given out is this value with what stands beside it.
    pub(crate) fn gives(&self, credential: &Credential) -> bool {
        self.moto.text(&self.id) == document(credential, &self.beside)
    }

    pub(crate) fn pending(&self) -> Vec<String> {
        self.moto.labelled(&self.id, "AWSPENDING")
    }
}

/// A credential with a new value.
pub(crate) fn credential() -> Credential {
    Credential { id: None, fields: Fields::single(SecretBytes::from(alphanumeric(32))) }
}

/// The value as text.
pub(crate) fn value(credential: &Credential) -> String {
    let (_, value) = credential.fields.secrets().next().unwrap();
    String::from_utf8(value.expose().to_vec()).unwrap()
}

/// A JSON object as a person writes one.
pub(crate) fn document(credential: &Credential, beside: &str) -> String {
    format!("{{ \"other\": \"{beside}\",\n\t\"{KEY}\" : \"{}\", \"n\": 1.50 }}\n", value(credential))
}

pub(crate) fn by(intent: u64) -> MadeBy {
    MadeBy { rotation: RotationId("0190-7".to_owned()), intent }
}

/// Everything that a failure can print.
pub(crate) fn shown(failure: &Failure) -> String {
    let mut text = format!("{failure} {failure:?} {}", failure.help.as_deref().unwrap_or_default());
    let mut cause = failure.source();
    while let Some(error) = cause {
        text += &format!(" {error} {error:?}");
        cause = error.source();
    }
    text
}

/// The failure, which prints none of these values.
#[track_caller]
pub(crate) fn failed<T>(outcome: Result<T, Failure>, known: &[&Credential]) -> Failure {
    let Err(failure) = outcome else { panic!("it must fail") };
    let text = shown(&failure);
    for credential in known {
        assert!(!text.contains(&value(credential)), "a value is shown");
    }
    failure
}
