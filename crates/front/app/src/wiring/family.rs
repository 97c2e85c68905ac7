//! The store as the rotations of a split see it, which give each consumer of a shared key its own key and revoke the
//! shared one.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_port::{Class, Failure, Label, RotationId, Staging as _, Store, VersionInfo};
use keyroll_rotation::{Aim, Seq};
use keyroll_secret::{Credential, Fields};
pub use keyroll_setup::Own;
use keyroll_store::SealedStore;

use super::open::{store, store_of_owner};
use crate::places::Places;
use crate::problem::Problem;
use crate::records::saved_plan::{Family, Saved};
use crate::redact::Remembering;

/// The aim of a rotation.
pub fn aim(family: Option<&Family>) -> Aim {
    match family {
        None | Some(Family::Leaked { .. }) => Aim::Replace,
        Some(Family::Member { .. }) => Aim::Part,
        Some(Family::End { .. }) => Aim::End,
    }
}

/// The store for a rotation.
pub async fn store_of(places: &Places, saved: &Saved, keep_retired: bool) -> Result<Arc<dyn Store>, Problem> {
    let sealed = store_of_owner(places, &saved.secret, keep_retired)?;
    let Some(Family::End { own, .. }) = &saved.family else {
        return Ok(of_rotation(sealed, &saved.secret, &saved.id, saved.family.as_ref()));
    };
    let present = present(sealed.as_ref(), own).await?;
    let (secret, version) = (saved.secret.clone(), saved.from_version);
    Ok(Arc::new(Ended { sealed, secret, version, present }))
}

/// The store for planning a rotation. For a consumer that gets its own key, the old version is read from the shared
/// secret.
pub fn planned(places: &Places, secret: &str, family: Option<&Family>) -> Result<Arc<dyn Store>, Problem> {
    Ok(of_rotation(store(places)?, secret, "", family))
}

fn of_rotation(
    sealed: Arc<Remembering<SealedStore>>,
    secret: &str,
    rotation: &str,
    family: Option<&Family>,
) -> Arc<dyn Store> {
    let Some(Family::Member { from, version, .. }) = family else { return sealed };
    let (secret, rotation) = (secret.to_owned(), RotationId(rotation.to_owned()));
    Arc::new(Member { sealed, secret, rotation, from: from.clone(), version: *version })
}

/// The entry of the shared value in a member's rotation; the member's own entries begin with 1.
const SHARED: Seq = 0;

/// Adds the secret of a member, whose first version its rotation makes. The shared value is kept for open members,
/// because they search for it after it was dropped here.
pub async fn found(places: &Places, saved: &Saved) -> Result<(), Problem> {
    match &saved.family {
        Some(Family::Member { .. }) => store(places)?.0.found(&saved.secret).await?,
        Some(Family::Leaked { apart }) => {
            let sealed = store(places)?;
            let shared = sealed.read(&saved.secret, saved.from_version).await?;
            for (one, shared) in apart.iter().filter_map(|one| Some((one, shared.as_ref()?))) {
                let rotation = RotationId(one.rotation.clone());
                // It began with an earlier shared key, which is already kept for it.
                if sealed.kept(&one.secret, &rotation, SHARED).await?.is_none() {
                    sealed.keep(&one.secret, &rotation, SHARED, shared).await?;
                }
            }
        }
        Some(Family::End { .. }) | None => {}
    }
    Ok(())
}

/// Drops the shared value that was kept for a finished rotation of a member.
pub async fn forget(places: &Places, saved: &Saved) -> Result<(), Problem> {
    let Some(Family::Member { .. }) = &saved.family else { return Ok(()) };
    let (sealed, rotation) = (store(places)?, RotationId(saved.id.clone()));
    let kept = sealed.kept(&saved.secret, &rotation, SHARED).await?;
    if let Some(id) = kept.and_then(|shared| shared.id) {
        sealed.discard(&saved.secret, &rotation, Some(&id), None).await?;
    }
    Ok(())
}

/// The own values of the consumers when a shared key is revoked.
pub async fn own_of(places: &Places, family: Option<&Family>) -> Result<Own, Problem> {
    let Some(Family::End { own, .. }) = family else { return Ok(Own::new()) };
    let sealed = store(places)?;
    let mut values: BTreeMap<&str, Arc<Fields>> = BTreeMap::new();
    let mut found = Own::new();
    for (consumer, secret) in own {
        let fields = match values.get(secret.as_str()) {
            Some(fields) => fields.clone(),
            None => {
                let (number, _) = current_of(sealed.as_ref(), secret).await?;
                let credential = sealed.read(secret, number).await?.ok_or_else(|| no_key(secret))?;
                values.entry(secret).or_insert(Arc::new(credential.fields)).clone()
            }
        };
        found.insert(consumer.clone(), fields);
    }
    Ok(found)
}

async fn current_of(store: &dyn Store, secret: &str) -> Result<(u32, VersionInfo), Failure> {
    let versions = crate::records::versions::kept(store, secret).await?;
    let current = versions.into_iter().find(|version| version.label == Label::Current);
    current.map(|version| (version.number, version)).ok_or_else(|| no_key(secret))
}

fn no_key(secret: &str) -> Failure {
    Failure::new(Class::Permanent, Code::NothingToRevoke, format!("find the own key of {secret}"))
        .because("none of its versions is current")
        .help(format!("keyroll secret show {secret}"))
}

/// The secrets of the split with their current versions, each once.
async fn present(
    store: &dyn Store,
    own: &BTreeMap<String, String>,
) -> Result<Vec<(String, VersionInfo)>, Failure> {
    let mut secrets: Vec<&String> = own.values().collect();
    secrets.sort_unstable();
    secrets.dedup();
    let mut all = Vec::new();
    for secret in secrets {
        all.push((secret.clone(), current_of(store, secret).await?.1));
    }
    Ok(all)
}

/// Shows the shared key as version 0 of a member.
struct Member {
    sealed: Arc<Remembering<SealedStore>>,
    secret: String,
    rotation: RotationId,
    from: String,
    version: u32,
}

/// Shows the members' keys as successors of the shared key: one of them must be accepted where it is refused.
struct Ended {
    sealed: Arc<Remembering<SealedStore>>,
    secret: String,
    version: u32,
    present: Vec<(String, VersionInfo)>,
}

impl Member {
    async fn versions(&self, secret: &str) -> Result<Vec<VersionInfo>, Failure> {
        if secret != self.secret {
            return self.sealed.versions(secret).await;
        }
        let own = crate::records::versions::kept(self.sealed.as_ref(), secret).await?;
        let shared = self.sealed.versions(&self.from).await?;
        let shared = shared.into_iter().find(|version| version.number == self.version);
        let moved = own.iter().any(|version| version.label == Label::Current);
        let label = if moved { Label::Previous } else { Label::Current };
        Ok(shared.map(|shared| VersionInfo { number: 0, label, ..shared }).into_iter().chain(own).collect())
    }

    async fn read(&self, secret: &str, number: u32) -> Result<Option<Credential>, Failure> {
        if secret != self.secret || number != 0 {
            return self.sealed.read(secret, number).await;
        }
        match self.sealed.read(&self.from, self.version).await? {
            Some(shared) => Ok(Some(shared)),
            None if self.rotation.0.is_empty() => Ok(None),
            None => self.sealed.kept(secret, &self.rotation, SHARED).await,
        }
    }

    /// The shared value belongs to another secret and is not dropped.
    async fn retire(&self, secret: &str, number: u32) -> Result<(), Failure> {
        if number == 0 {
            return Err(Failure::new(
                Class::Permanent,
                Code::InternalError,
                format!("drop the key that {secret} shared"),
            )
            .because("other consumers use it"));
        }
        self.sealed.retire(secret, number).await
    }
}

impl Ended {
    async fn versions(&self, secret: &str) -> Result<Vec<VersionInfo>, Failure> {
        let mut versions = self.sealed.versions(secret).await?;
        if secret != self.secret {
            return Ok(versions);
        }
        for version in versions.iter_mut().filter(|version| version.label == Label::Current) {
            version.label = Label::Previous;
        }
        let mut next = versions.last().map_or(0, |version| version.number);
        for (at, (_, version)) in self.present.iter().enumerate() {
            next = next.saturating_add(1);
            let label = if at == 0 { Label::Current } else { Label::Pending };
            versions.push(VersionInfo { number: next, label, ..version.clone() });
        }
        Ok(versions)
    }

    async fn read(&self, secret: &str, number: u32) -> Result<Option<Credential>, Failure> {
        if secret == self.secret && number > self.version {
            let last = self.sealed.versions(secret).await?.last().map_or(0, |version| version.number);
            let at = number.checked_sub(last).and_then(|at| usize::try_from(at).ok()?.checked_sub(1));
            if let Some((secret, version)) = at.and_then(|at| self.present.get(at)) {
                return self.sealed.read(secret, version.number).await;
            }
        }
        self.sealed.read(secret, number).await
    }

    /// Nothing follows the last version: the secret has no current version from here on.
    async fn retire(&self, secret: &str, number: u32) -> Result<(), Failure> {
        match secret == self.secret && number == self.version {
            true => self.sealed.0.close(secret, number).await,
            false => self.sealed.retire(secret, number).await,
        }
    }
}

/// Every other call goes to the sealed store.
macro_rules! store_beside {
    ($name:ident) => {
        #[async_trait]
        impl Store for $name {
            async fn add(&self, secret: &str, credential: &Credential) -> Result<VersionInfo, Failure> {
                self.sealed.add(secret, credential).await
            }

            async fn secrets(&self) -> Result<Vec<String>, Failure> {
                self.sealed.secrets().await
            }

            async fn versions(&self, secret: &str) -> Result<Vec<VersionInfo>, Failure> {
                $name::versions(self, secret).await
            }

            async fn read(&self, secret: &str, number: u32) -> Result<Option<Credential>, Failure> {
                $name::read(self, secret, number).await
            }

            async fn put_pending(
                &self,
                secret: &str,
                rotation: &RotationId,
                intent: Seq,
                credential: &Credential,
            ) -> Result<u32, Failure> {
                self.sealed.put_pending(secret, rotation, intent, credential).await
            }

            async fn promote(&self, secret: &str, expected: u32, next: u32) -> Result<(), Failure> {
                self.sealed.promote(secret, expected, next).await
            }

            async fn demote(&self, secret: &str, before: u32, next: u32) -> Result<(), Failure> {
                self.sealed.demote(secret, before, next).await
            }

            async fn retire(&self, secret: &str, number: u32) -> Result<(), Failure> {
                $name::retire(self, secret, number).await
            }
        }
    };
}

store_beside!(Member);
store_beside!(Ended);
