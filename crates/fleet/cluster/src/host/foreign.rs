//! What a key holds right before a roll-out: one of both versions, and no value of somebody else.
//!
//! A roll-out is given no values, and begins some time after the delivery. So the calls that are given them leave keyed
//! fingerprints of what each key holds with each version. Where no call of this process was given any, such as right after it
//! was started, nothing is compared.

use keyroll_codes::Code;
use keyroll_copy::Pointer;
use keyroll_host::{CopySetup, copy_text};
use keyroll_kube::words;
use keyroll_port::{Class, Failure, Values};
use keyroll_rotation::FileId;
use keyroll_secret::{Fields, SecretBytes};

use super::ClusterHost;
use super::apply::attempted;
use super::own::Own;
use super::setup::{KeySetup, PodsSetup};
use crate::model::SecretSeen;

impl ClusterHost {
    /// Remembers what each key holds with each version, if there are both.
    pub(super) fn remember_versions(&self, values: Values<'_>) {
        for (file, key) in self.setup.key_ids() {
            let values = key.versions(values);
            let Some(new) = values.new else { continue };
            let print = |fields: &Fields| {
                let text = copy_text(&key.copy, fields).ok()?;
                Some(self.key.fingerprint(&text))
            };
            if let (Some(old), Some(new)) = (print(values.old), print(new)) {
                self.memo().note_versions(file, [old, new]);
            }
        }
    }

    /// Refuses a roll-out that would bring a value of somebody else. `own`: a look just now.
    pub(super) async fn refuse_foreign(&self, pods: &PodsSetup, own: Option<Own>) -> Result<(), Failure> {
        let key = self.key_setup(pods.file)?;
        if self.memo().versions_of(pods.file).is_none() {
            return Ok(());
        }
        if let Some(own) = own {
            let named = self.secret_of(key, &own.seen);
            let secret = named.and_then(|(name, _)| own.seen.namespace.secret(name));
            if let Some(secret) = secret {
                return self.refuse_content(pods, key, secret);
            }
        }
        let attempted = attempted(pods);
        let all = match &key.versioned {
            Some(of) => self.referred(key, of, &attempted).await?,
            None => vec![self.secret_now(&key.secret, &attempted).await?],
        };
        all.iter().try_for_each(|object| self.refuse_content(pods, key, &object.seen))
    }

    /// Refuses a Secret whose key holds neither version.
    pub(super) fn refuse_content(
        &self,
        pods: &PodsSetup,
        key: &KeySetup,
        secret: &SecretSeen,
    ) -> Result<(), Failure> {
        let (name, part) = (&secret.name, &key.key);
        let why = match secret.data.get(part) {
            Some(bytes) if !self.is_foreign(pods.file, key, bytes) => return Ok(()),
            Some(_) => {
                let by = secret.changed.get(part).map(|changed| words(&changed.by));
                let by = by.map(|by| format!(" (written by {by})")).unwrap_or_default();
                format!("somebody else changed secret/{name} {part}{by}: it holds neither version")
            }
            None => format!("somebody else removed {part} from secret/{name}"),
        };
        let failure = Failure::new(Class::Permanent, Code::FileChanged, attempted(pods))
            .because(format!("{why}; nothing was rolled out"));
        let options = self.cluster.get().map(|cluster| cluster.options.as_str()).unwrap_or_default();
        Err(match key.is_added() {
            true => failure.help(written_again(key, options)),
            false => failure.help("see who did that, and undo it"),
        })
    }

    /// Whether these bytes of a key hold neither version, as far as both are known.
    fn is_foreign(&self, file: FileId, key: &KeySetup, bytes: &SecretBytes) -> bool {
        let CopySetup::Value { format, slot, .. } = &key.copy else { return false };
        let Some(known) = self.memo().versions_of(file) else { return false };
        let value = format.read(bytes.expose(), slot).ok().flatten();
        value.is_none_or(|value| !known.contains(&self.key.fingerprint(&value)))
    }
}

/// How a person lets keyroll write its own value over that of somebody else. `options`: those of kubectl.
pub(super) fn written_again(key: &KeySetup, options: &str) -> String {
    let patch = format!("[{{\"op\":\"remove\",\"path\":\"{}\"}}]", Pointer::behind("/data", &key.key));
    format!(
        "see who wrote it; to let keyroll write its own value again, remove the key: kubectl {options} patch secret {} \
         --type=json -p '{patch}'",
        key.secret
    )
}
