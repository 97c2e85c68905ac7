//! An IAM user at moto, and adapters for it.

use std::error::Error;
use std::fs;
use std::ops::Deref;

use keyroll_aws::{ACCESS_KEY_ID, AwsKeys, AwsSettings, IamUser, SECRET_ACCESS_KEY};
use keyroll_port::Failure;
use keyroll_port::conformance::PATIENT_MS;
use keyroll_secret::{Credential, CredentialId, Fields, SecretBytes};
use keyroll_testkit::{IamLogin, MOTO_REGION, MotoIam, TempDir, tag};

/// The profile that every adapter of a test takes.
pub(crate) const PROFILE: &str = "test";

/// moto's account.
pub(crate) const ACCOUNT: &str = "123456789012";

/// An adapter, with the configuration that it reads.
pub(crate) struct Opened {
    pub(crate) keys: AwsKeys,
    home: TempDir,
}

impl Opened {
    /// Replaces the configuration that it reads.
    pub(crate) fn configure(&self, config: &str) {
        fs::write(self.home.path().join("config"), config).unwrap();
    }
}

impl Deref for Opened {
    type Target = AwsKeys;

    fn deref(&self) -> &AwsKeys {
        &self.keys
    }
}

/// The keys of a user at a port of the loopback, with this configuration of AWS. It is read at the first request, so whoever
/// asks holds all of this.
pub(crate) fn open(config: &str, port: u16, user: &str, request_ms_max: u64) -> Opened {
    open_in(ACCOUNT, config, port, user, request_ms_max)
}

/// The same where keyroll's configuration names this account.
pub(crate) fn open_in(account: &str, config: &str, port: u16, user: &str, request_ms_max: u64) -> Opened {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config");
    fs::write(&file, config).unwrap();
    let settings = AwsSettings {
        profile: Some(PROFILE.to_owned()),
        region: Some(MOTO_REGION.to_owned()),
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        config_file: Some(file),
    };
    let user = IamUser { account: account.to_owned(), name: user.to_owned(), settings, request_ms_max };
    Opened { keys: AwsKeys::new(user), home }
}

/// A user with one key.
pub(crate) struct Scene {
    pub(crate) moto: MotoIam,
    pub(crate) user: String,
    pub(crate) current: Credential,
}

impl Scene {
    pub(crate) fn start(what: &str) -> Option<Self> {
        let moto = MotoIam::start_or_skip(what)?;
        let user = tag();
        moto.user(&user);
        let current = credential(&moto.make(&user));
        Some(Self { moto, user, current })
    }

    /// The adapter with this login, through the server itself or what stands before it.
    pub(crate) fn through(&self, login: IamLogin, port: u16) -> Opened {
        open(&self.moto.profile(PROFILE, login, port), port, &self.user, PATIENT_MS)
    }

    pub(crate) fn direct(&self) -> Opened {
        self.through(IamLogin::Keyroll, self.moto.port())
    }
}

/// A key as a credential that is bound to its id.
pub(crate) fn credential((id, secret): &(String, String)) -> Credential {
    let mut fields = Fields::new();
    fields.insert(ACCESS_KEY_ID, SecretBytes::from(id.clone()), false);
    fields.insert(SECRET_ACCESS_KEY, SecretBytes::from(secret.clone()), true);
    Credential { id: Some(CredentialId::new(id.as_str())), fields }
}

/// A field of a credential as text.
pub(crate) fn field(credential: &Credential, name: &str) -> String {
    String::from_utf8(credential.fields.get(name).unwrap().value.expose().to_vec()).unwrap()
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

/// The failure, which prints no secret of these credentials.
#[track_caller]
pub(crate) fn failed<T>(outcome: Result<T, Failure>, known: &[&Credential]) -> Failure {
    let Err(failure) = outcome else { panic!("it must fail") };
    let text = shown(&failure);
    for credential in known {
        assert!(!text.contains(&field(credential, SECRET_ACCESS_KEY)), "a secret is shown");
    }
    failure
}
