//! What the keys of Secrets hold that the consumers of a secret in a cluster read, beside its stored versions. Changes nothing.
//!
//! Three steps, as a server does them in different places: which keys there are, what they hold, and which version that is.

use keyroll_cluster::content;
use keyroll_config::{Copy, Secret, StoreRef};
use keyroll_host::{CopySetup, copy_holds};
use keyroll_kube::Cluster;
use keyroll_port::{Label, VersionInfo};
use keyroll_secret::{Fields, Fingerprint, FingerprintKey, SecretBytes};
use keyroll_setup::copy_setup;

use super::emergency::open_secrets;
use crate::installation::Installation;
use crate::problem::Problem;
use crate::records::versions::{self, kept, label};
use crate::secrets::import::binding;
use crate::wiring::gather_values::found_in;
use crate::wiring::open::{fingerprint_key, runtime, store};

/// A key of a Secret that consumers read.
pub struct ClusterCopy {
    secret: String,
    key: String,
    copy: Copy,
}

/// What it held; none: there is no such Secret, or it does not have the key. Or why it could not be read.
type Content = Result<Option<SecretBytes>, String>;

/// A key of a Secret that was read.
pub struct ReadCopy {
    of: ClusterCopy,
    content: Content,
}

/// What a key of a Secret holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyHolds {
    /// The current version.
    Current,
    /// Another version, and the word for it.
    Version(u32, &'static str),
    /// A value that keyroll does not know.
    Other,
    /// Nothing: there is no such Secret, or it does not have the key.
    Absent,
    /// It could not be read, and why.
    NotVisible(String),
}

/// A key of a Secret, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComparedCopy {
    /// The name of the Secret.
    pub secret: String,
    /// The key.
    pub key: String,
    /// What it holds.
    pub holds: CopyHolds,
}

/// How a value that somebody else wrote becomes the current version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakeOver {
    /// In place of the first version, as no rotation has made another one: by this command, which reads the value from stdin.
    AsFirst(String),
    /// As what the store outside of keyroll gives out.
    FromStore,
    /// Not under this name: rotations have used it.
    Never,
}

/// The keys of Secrets beside the current version.
pub struct ComparedCopies {
    /// The current version.
    pub current: u32,
    /// Each of them.
    pub copies: Vec<ComparedCopy>,
    /// What is possible with a value that keyroll does not know.
    pub take_over: TakeOver,
}

/// The keys that the consumers of a secret on this host read, each once; `None` while a rotation is open. Where each version has
/// a Secret of its own nothing is compared: such a Secret never changes.
///
/// # Errors
/// The configuration or the journal cannot be read.
pub fn cluster_copies(
    name: &str,
    host: &str,
    installation: &Installation,
) -> Result<Option<Vec<ClusterCopy>>, Problem> {
    let config = installation.config()?;
    let secret = config.secrets.get(name).map(|secret| copies_on(secret, host));
    Ok(if is_open(name, installation)? { None } else { secret })
}

/// Whether a rotation of it is open: then both of its versions are right, and it compares by itself.
fn is_open(name: &str, installation: &Installation) -> Result<bool, Problem> {
    Ok(!open_secrets(&[name.to_owned()], &installation.places()?)?.is_empty())
}

fn copies_on(secret: &Secret, host: &str) -> Vec<ClusterCopy> {
    let mut all: Vec<ClusterCopy> = Vec::new();
    let there = secret.in_clusters().filter(|(consumer, _)| consumer.host.as_str() == host);
    for (consumer, pods) in there.filter(|(_, pods)| !pods.versioned) {
        let is_known = all.iter().any(|one| one.secret == pods.secret && one.key == pods.key);
        if let Some(copy) = consumer.reads.first().filter(|_| !is_known) {
            let (secret, key) = (pods.secret.clone(), pods.key.clone());
            all.push(ClusterCopy { secret, key, copy: copy.clone() });
        }
    }
    all
}

/// Reads each of them by the name of its Secret.
pub async fn read_cluster_copies(copies: Vec<ClusterCopy>, cluster: &Cluster) -> Vec<ReadCopy> {
    let mut all = Vec::new();
    for of in copies {
        let content = content(cluster, &of.secret, &of.key).await;
        let content = content.map_err(|failure| Problem::from(failure).causes.join(": "));
        all.push(ReadCopy { of, content });
    }
    all
}

/// Which version each of them holds; `None` without a current version, and while a rotation is open.
///
/// # Errors
/// The configuration, the journal or the store cannot be read.
pub fn compare_cluster_copies(
    name: &str,
    read: Vec<ReadCopy>,
    installation: &Installation,
) -> Result<Option<ComparedCopies>, Problem> {
    let (config, places) = (installation.config()?, installation.places()?);
    let Some(secret) = config.secrets.get(name).filter(|_| places.sealed().exists()) else {
        return Ok(None);
    };
    if is_open(name, installation)? {
        return Ok(None);
    }
    let all = runtime(&places)?.block_on(kept(store(&places)?.as_ref(), name))?;
    let current = all.iter().find(|version| version.label == Label::Current);
    let Some(current) = current.map(|version| version.number) else { return Ok(None) };
    let Some(credential) = versions::read(&places, secret, current)? else { return Ok(None) };
    let take_over = match secret.store == StoreRef::Keyroll {
        false => TakeOver::FromStore,
        true if current == 1 && all.len() == 1 => TakeOver::AsFirst(binding(secret, None)),
        true => TakeOver::Never,
    };
    let known = Known { current, fields: credential.fields, versions: all, key: fingerprint_key(&places)? };
    let mut copies = Vec::new();
    for ReadCopy { of, content } in read {
        let holds = known.holds(content, &copy_setup(secret, &of.copy)?);
        copies.push(ComparedCopy { secret: of.secret, key: of.key, holds });
    }
    Ok(Some(ComparedCopies { current, copies, take_over }))
}

/// The stored versions.
struct Known {
    current: u32,
    /// The values of the current one.
    fields: Fields,
    versions: Vec<VersionInfo>,
    key: FingerprintKey,
}

impl Known {
    /// What a key holds. Of other versions only the fingerprints are known: those that were retired have no value any more.
    fn holds(&self, content: Content, copy: &CopySetup) -> CopyHolds {
        let bytes = match content {
            Err(why) => return CopyHolds::NotVisible(why),
            Ok(None) => return CopyHolds::Absent,
            Ok(Some(bytes)) => bytes,
        };
        if copy_holds(copy, bytes.expose(), &self.fields) {
            return CopyHolds::Current;
        }
        let found = found_in(copy, bytes.expose()).unwrap_or_default();
        let print = |(name, value): &(String, SecretBytes)| (name.clone(), self.key.fingerprint(value));
        let prints: Vec<(String, Fingerprint)> = found.iter().map(print).collect();
        let is_it = |version: &&VersionInfo| {
            let is_secret =
                |print: &&(String, Fingerprint)| version.fingerprints.iter().any(|one| one.0 == print.0);
            let mut secrets = prints.iter().filter(is_secret).peekable();
            secrets.peek().is_some() && secrets.all(|print| version.fingerprints.contains(print))
        };
        let mut others = self.versions.iter().filter(|version| version.number != self.current);
        match others.find(is_it) {
            Some(version) => CopyHolds::Version(version.number, label(version.label)),
            None => CopyHolds::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use keyroll_config::Config;
    use keyroll_testkit::alphanumeric;

    use super::*;

    /// The two values of a secret with these versions: a retired one and the current one.
    fn known() -> (Known, [String; 2]) {
        let values = [(); 2].map(|()| alphanumeric(24));
        let key = FingerprintKey::new(&[7; 32]);
        let fields = |value: &str| Fields::single(SecretBytes::from(value.to_owned()));
        let version = |number: u32, label: Label, value: &str| VersionInfo {
            number,
            label,
            credential: None,
            fingerprints: fields(value)
                .secrets()
                .map(|(name, value)| (name.to_owned(), key.fingerprint(value)))
                .collect(),
            made_by: None,
            unix_ms: 0,
        };
        let versions = vec![version(1, Label::Retired, &values[0]), version(2, Label::Current, &values[1])];
        let known = Known { current: 2, fields: fields(&values[1]), versions, key };
        (known, values)
    }

    /// A secret whose consumers are in clusters: two read one key, the third a text with the value, the fourth has a Secret for
    /// each version, and the last is in another namespace.
    fn config() -> Config {
        let consumer = |name: &str, host: &str, reads: &str, more: &str| {
            format!(
                "[[secrets.acme.consumers]]\nname = \"{name}\"\nhost = \"{host}\"\n\
                 runs = {{ deployment = \"{name}\" }}\nreads = {{ {reads} }}\n{more}"
            )
        };
        let key = "secret = \"credentials\", key = \"KEY\"";
        let header = "secret = \"credentials\", key = \"HEADER\", derived = \"header\"";
        let text = [
            "version = 1\n[hosts.shop]\nconnect = \"kube://in-cluster/shop\"\n\
             [hosts.other]\nconnect = \"kube://in-cluster/other\"\n\
             [secrets.acme]\nissuer = \"openrouter\"\n[secrets.acme.derived]\nheader = \"Bearer {value}\"\n"
                .to_owned(),
            consumer("agent", "shop", key, ""),
            consumer("worker", "shop", key, ""),
            consumer("proxy", "shop", header, ""),
            consumer("by-version", "shop", "secret = \"versions\", key = \"KEY\"", "versioned = true\n"),
            consumer("far", "other", "secret = \"far\", key = \"KEY\"", ""),
        ];
        Config::parse(&text.concat(), "/srv/keyroll.toml").unwrap()
    }

    #[test]
    fn each_key_of_the_namespace_is_read_once_and_a_secret_that_never_changes_is_not() {
        let config = config();
        let of = |host: &str| {
            let all = copies_on(config.secret("acme").unwrap(), host);
            all.into_iter().map(|one| format!("{} {}", one.secret, one.key)).collect::<Vec<_>>()
        };
        assert_eq!(of("shop"), ["credentials KEY", "credentials HEADER"]);
        assert_eq!(of("other"), ["far KEY"]);
    }

    #[test]
    fn what_a_key_holds_is_known_by_the_value_and_by_the_fingerprints_of_former_ones() {
        let (known, [old, current]) = known();
        let config = config();
        let secret = config.secret("acme").unwrap();
        let other = alphanumeric(24);
        let header = |value: &str| format!("Bearer {value}");
        for consumer in [0, 2] {
            let copy = copy_setup(secret, &secret.consumers[consumer].reads[0]).unwrap();
            let text = |value: &str| if consumer == 2 { header(value) } else { value.to_owned() };
            let holds = |text: String| known.holds(Ok(Some(SecretBytes::from(text))), &copy);
            assert_eq!(holds(text(&current)), CopyHolds::Current);
            assert_eq!(
                holds(text(&format!("{current}\n"))),
                CopyHolds::Current,
                "a line end is no other value"
            );
            assert_eq!(holds(text(&old)), CopyHolds::Version(1, "retired"));
            assert_eq!(holds(text(&other)), CopyHolds::Other);
            // A part of it, and nothing, are other values, too.
            assert_eq!(holds(text(&current[..12])), CopyHolds::Other);
            assert_eq!(holds(String::new()), CopyHolds::Other);
            assert_eq!(known.holds(Ok(None), &copy), CopyHolds::Absent);
            let why = "forbidden".to_owned();
            assert_eq!(known.holds(Err(why.clone()), &copy), CopyHolds::NotVisible(why));
        }
        let copy = copy_setup(secret, &secret.consumers[2].reads[0]).unwrap();
        let bare = known.holds(Ok(Some(SecretBytes::from(current))), &copy);
        assert_eq!(bare, CopyHolds::Other, "the text around the value is missing");
    }
}
