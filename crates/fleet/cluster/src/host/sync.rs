//! Has External Secrets write the Secret from the store, and waits for the content of the Secret.
//!
//! Its conditions prove nothing: they may be old, and say `Ready` while the store does not answer.

use k8s_openapi::api::core::v1::Secret;
use keyroll_codes::Code;
use keyroll_kube::{Owner, words};
use keyroll_port::{Asked, Class, Failure, Values};
use keyroll_rotation::{ConsumerId, Holds, Which};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::ClusterHost;
use super::api::{Api, OWN, Patched, annotated, annotation, overtaken};
use super::apply::{ANSWER_MS, ATTEMPTS_MAX};
use super::rolled_out::text;
use super::setup::KeySetup;
use crate::marks::SYNC;
use crate::model::External;
use crate::objects;
use crate::read::requests::is_name;

/// How often the content of the Secret is read, milliseconds.
const STEP_MS: u64 = 250;

/// The group of External Secrets, and its versions, the newer one first.
const GROUP: &str = "external-secrets.io";
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// An ExternalSecret that writes a Secret.
struct Syncing {
    /// Its path.
    path: String,
    object: Value,
    external: External,
}

/// Why nobody asked External Secrets to read the store now.
enum Unasked {
    /// The login may not list ExternalSecrets.
    NotListed,
    /// The login may not change this one.
    NotChanged,
}

impl ClusterHost {
    /// Has the Secret of a consumer written from the store, and returns once its key holds the version.
    pub(super) async fn sync(
        &self,
        consumer: ConsumerId,
        which: Which,
        values: Values<'_>,
        asked: Asked,
    ) -> Result<(), Failure> {
        let key = self.key_setup(self.pods_setup(consumer)?.file)?;
        let version = version_name(which);
        let attempted = format!("get the {version} value into {} by External Secrets", key.shown());
        self.may_begin(asked, || attempted.clone())?;
        let (holds, owner) = self.synced_content(key, values, which, &attempted).await?;
        if holds == Holds::of(which) {
            return Ok(());
        }
        let api = self.api().await?;
        let (syncing, unasked) = match writers(api, &key.secret, &attempted).await {
            Ok(all) => {
                let Some(syncing) = choose(all, key, owner.as_deref()) else {
                    return Err(none(key, attempted));
                };
                let unasked = self.ask_to_sync(api, &syncing, asked, &attempted).await?;
                (Some(syncing), unasked)
            }
            Err(failure) if is_refusal(&failure) => (None, Some(Unasked::NotListed)),
            Err(failure) => return Err(failure),
        };
        let limit = asked.until_ms.saturating_sub(ANSWER_MS);
        let last = loop {
            let (holds, _) = self.synced_content(key, values, which, &attempted).await?;
            if holds == Holds::of(which) {
                return Ok(());
            }
            let now = self.clock.monotonic_ms();
            if now >= limit {
                break holds;
            }
            self.clock.sleep_until(limit.min(now.saturating_add(STEP_MS))).await;
        };
        let syncing = match syncing {
            Some(syncing) => Some(again(api, syncing, &attempted).await),
            None => None,
        };
        Err(not_synced(which, attempted, last, &Reasons { syncing, unasked, options: &api.cluster.options }))
    }

    /// What the key of a synced Secret holds, and the ExternalSecret that owns the Secret.
    async fn synced_content(
        &self,
        key: &KeySetup,
        values: Values<'_>,
        which: Which,
        attempted: &str,
    ) -> Result<(Holds, Option<String>), Failure> {
        let api = self.api().await?;
        let secret = api.get::<Secret>(&api.secret(&key.secret), attempted).await?.map(objects::secret);
        let bytes = secret.as_ref().and_then(|secret| secret.data.get(&key.key));
        let holds = key.holding(bytes, values, which);
        let owner = match secret.and_then(|secret| secret.owner) {
            Some(Owner::ExternalSecrets(name)) if !name.is_empty() => Some(name),
            _ => None,
        };
        Ok((holds, owner))
    }

    /// Changes the annotation of an ExternalSecret, upon which its controller reads the store. Why it could not.
    async fn ask_to_sync(
        &self,
        api: Api<'_>,
        syncing: &Syncing,
        asked: Asked,
        attempted: &str,
    ) -> Result<Option<Unasked>, Failure> {
        let stamp = self.stamp(asked.intent);
        let mut object = syncing.object.clone();
        for _ in 0..ATTEMPTS_MAX {
            self.may_begin(asked, || attempted.to_owned())?;
            let text = another(annotated(&object, OWN, SYNC), &stamp);
            let patch = annotation(&object, OWN, SYNC, &text);
            match api.patch::<IgnoredAny>(&syncing.path, patch, attempted).await {
                // One that was removed reads the store anyway, if somebody makes it again.
                Ok(Patched::Done(_) | Patched::Gone) => return Ok(None),
                Ok(Patched::Overtaken) => {}
                Err(failure) if is_refusal(&failure) => return Ok(Some(Unasked::NotChanged)),
                Err(failure) => return Err(failure),
            }
            let Some(now) = api.get::<Value>(&syncing.path, attempted).await? else { return Ok(None) };
            object = now;
        }
        Err(overtaken(attempted))
    }
}

/// The text of the annotation for this stamp, which has to be another than before: only a change has an effect, and the same
/// step may be taken again, because the store gave out the former version.
fn another(before: Option<&str>, stamp: &str) -> String {
    let rest = before.and_then(|before| before.strip_prefix(stamp));
    match rest.map(|rest| rest.strip_prefix('/').and_then(|times| times.parse::<u32>().ok())) {
        Some(times) => format!("{stamp}/{}", times.unwrap_or(1).saturating_add(1)),
        None => stamp.to_owned(),
    }
}

/// The ExternalSecrets that write a Secret.
async fn writers(api: Api<'_>, secret: &str, attempted: &str) -> Result<Vec<Syncing>, Failure> {
    for version in VERSIONS {
        let path = api.path(GROUP, version, "externalsecrets");
        if let Some(listed) = api.list::<Value>(&path, "", attempted).await? {
            let own = listed.items.into_iter().filter_map(|object| read(&path, object, secret));
            return Ok(own.collect());
        }
    }
    Ok(Vec::new())
}

/// An ExternalSecret, if it writes this Secret.
fn read(path: &str, object: Value, secret: &str) -> Option<Syncing> {
    let parsed = serde_json::from_value(object.clone()).ok()?;
    let (target, external) = objects::external_secret(parsed)?;
    // Its name becomes a part of a path and of a command.
    let fits = target == secret && is_name(&external.name);
    fits.then(|| Syncing { path: format!("{path}/{}", external.name), object, external })
}

/// The one that owns the Secret, else the one that names the key; several may write into one Secret.
fn choose(all: Vec<Syncing>, key: &KeySetup, owner: Option<&str>) -> Option<Syncing> {
    let fits =
        |one: &Syncing| (owner == Some(one.external.name.as_str()), one.external.keys.contains_key(&key.key));
    all.into_iter().max_by_key(fits)
}

/// The same as it is now, as far as it can be read.
async fn again(api: Api<'_>, syncing: Syncing, attempted: &str) -> Syncing {
    let Ok(Some(object)) = api.get::<Value>(&syncing.path, attempted).await else { return syncing };
    let parsed = serde_json::from_value(object.clone()).ok();
    match parsed.and_then(objects::external_secret) {
        Some((_, external)) => Syncing { path: syncing.path, object, external },
        None => syncing,
    }
}

/// Whether the login lacks a right.
fn is_refusal(failure: &Failure) -> bool {
    failure.class == Class::Permanent && failure.code == Code::ClusterAccess
}

pub(super) fn version_name(which: Which) -> &'static str {
    match which {
        Which::Old => "old",
        Which::New => "new",
    }
}

fn none(key: &KeySetup, attempted: String) -> Failure {
    let why = format!("no ExternalSecret of the namespace writes Secret {}", key.secret);
    let help = "correct `reads` of the consumer in the configuration, or leave out `synced` there";
    Failure::new(Class::Permanent, Code::CopyDiffers, attempted).because(why).help(help)
}

/// What may be the reason that a Secret does not hold a version.
struct Reasons<'a> {
    syncing: Option<Syncing>,
    unasked: Option<Unasked>,
    /// Those of kubectl.
    options: &'a str,
}

/// The time is over, and the Secret does not hold the version.
fn not_synced(which: Which, attempted: String, holds: Holds, reasons: &Reasons<'_>) -> Failure {
    let other = version_name(which.other());
    let mut why = match holds {
        Holds::Other => "the Secret holds another value, which keyroll did not write to the store".to_owned(),
        Holds::Unreadable => "the Secret or its key does not exist".to_owned(),
        Holds::Old | Holds::New => format!("the Secret still holds the {other} value"),
    };
    for reason in reasons.all() {
        why.push_str("; ");
        why.push_str(&reason);
    }
    let failure = Failure::new(Class::Retryable, Code::CopyDiffers, attempted).because(why);
    match reasons.help() {
        Some(help) => failure.help(help),
        None => failure,
    }
}

impl Reasons<'_> {
    /// In words, one clause each.
    fn all(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut interval = String::new();
        if let Some(Syncing { object, external, .. }) = &self.syncing {
            let External { name, store, refresh, not_ready, .. } = external;
            if !store.is_empty() {
                all.push(format!("ExternalSecret/{name} reads it from {store}"));
            }
            if is_never(refresh.as_deref()) {
                all.push("its refreshInterval is 0: it does not read the store again".to_owned());
            } else if text(object, "/spec/refreshPolicy") == "CreatedOnce" {
                all.push("its refreshPolicy is CreatedOnce: it does not read the store again".to_owned());
            }
            if let Some(message) = not_ready {
                all.push(format!("it says that it is not ready: {}", words(message)));
            }
            interval = refresh.as_ref().map(|every| format!(" ({})", words(every))).unwrap_or_default();
        }
        all.extend(self.unasked.as_ref().map(|unasked| {
            match unasked {
                Unasked::NotListed => {
                    "keyroll may not list externalsecrets, and waited for the interval of the ExternalSecret"
                        .to_owned()
                }
                Unasked::NotChanged => {
                    format!(
                        "keyroll may not patch externalsecrets, and waited for its own interval{interval}"
                    )
                }
            }
        }));
        all
    }

    /// The next step, where there is a certain one.
    fn help(&self) -> Option<String> {
        if let Some(Syncing { object, external, .. }) = &self.syncing {
            let (name, options) = (&external.name, self.options);
            let patch = |spec: &str| {
                Some(format!(
                    "kubectl patch externalsecret {name} {options} --type=merge -p '{{\"spec\":{{{spec}}}}}'"
                ))
            };
            if is_never(external.refresh.as_deref()) {
                return patch(r#""refreshInterval":"1h""#);
            }
            if text(object, "/spec/refreshPolicy") == "CreatedOnce" {
                return patch(r#""refreshPolicy":"Periodic""#);
            }
        }
        self.unasked.as_ref().map(|_| {
            "add the rights [list, patch] on externalsecrets to the Role of keyroll's login; docs/guides/kubernetes.md has \
             the whole Role"
                .to_owned()
        })
    }
}

/// Whether an interval of Go is 0: `0`, `0s`, `0h0m0s`. Without one it is an hour.
pub(super) fn is_never(interval: Option<&str>) -> bool {
    let zero =
        |interval: &str| interval.contains('0') && !interval.contains(|one: char| ('1'..='9').contains(&one));
    interval.is_some_and(zero)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::host::sample;

    fn key() -> KeySetup {
        KeySetup { synced: true, ..sample::key() }
    }

    /// An ExternalSecret with this target and key.
    fn object(name: &str, target: Option<&str>, key: &str) -> Value {
        json!({
            "metadata": { "name": name, "resourceVersion": "1" },
            "spec": {
                "refreshInterval": "1h",
                "secretStoreRef": { "name": "aws", "kind": "SecretStore" },
                "target": { "name": target },
                "data": [{ "secretKey": key, "remoteRef": { "key": "prod/api" } }],
            },
        })
    }

    fn syncing(object: Value) -> Syncing {
        read("/es", object, "api").unwrap()
    }

    /// Why the Secret does not hold the new value, and what helps.
    fn why(object: Option<Value>, unasked: Option<Unasked>, holds: Holds) -> (String, Option<String>) {
        let reasons = Reasons { syncing: object.map(syncing), unasked, options: "-n shop" };
        let failure = not_synced(Which::New, "get it".to_owned(), holds, &reasons);
        assert_eq!((failure.class, failure.code), (Class::Retryable, Code::CopyDiffers));
        (failure.source.unwrap().to_string(), failure.help)
    }

    #[test]
    fn an_external_secret_writes_the_secret_of_its_target_or_of_its_own_name() {
        assert_eq!(syncing(object("es", Some("api"), "key")).path, "/es/es");
        assert_eq!(syncing(object("api", None, "key")).path, "/es/api");
        assert!(read("/es", object("api", Some("other"), "key"), "api").is_none());
        assert!(read("/es", json!("text"), "api").is_none());
        assert!(read("/es", object("../secrets/x", Some("api"), "key"), "api").is_none());
    }

    #[test]
    fn of_several_the_owner_is_asked_and_else_the_one_that_names_the_key() {
        let all =
            || vec![syncing(object("a", Some("api"), "key")), syncing(object("b", Some("api"), "other"))];
        let name = |owner| choose(all(), &key(), owner).unwrap().external.name;
        assert_eq!(name(Some("b")), "b");
        assert_eq!(name(None), "a");
        assert_eq!(name(Some("gone")), "a");
        assert!(choose(Vec::new(), &key(), None).is_none());
    }

    #[test]
    fn an_annotation_changes_each_time() {
        assert_eq!(another(None, "r1/7"), "r1/7");
        assert_eq!(another(Some("r1/6"), "r1/7"), "r1/7");
        assert_eq!(another(Some("r1/7"), "r1/7"), "r1/7/2");
        assert_eq!(another(Some("r1/7/2"), "r1/7"), "r1/7/3");
        assert_eq!(another(Some("r1/77"), "r1/7"), "r1/7/2");
    }

    #[test]
    fn an_interval_of_zero_is_one_that_never_comes() {
        for zero in ["0", "0s", "0h0m0s"] {
            assert!(is_never(Some(zero)), "{zero}");
        }
        for some in ["10s", "1h0m0s", ""] {
            assert!(!is_never(Some(some)), "{some}");
        }
        assert!(!is_never(None));
    }

    #[test]
    fn an_external_secret_that_never_reads_again_is_named_with_the_command_that_changes_this() {
        let mut never = object("es", Some("api"), "key");
        never["spec"]["refreshInterval"] = json!("0");
        let (said, help) = why(Some(never), None, Holds::Old);
        let wanted = "the Secret still holds the old value; ExternalSecret/es reads it from SecretStore/aws; its \
                      refreshInterval is 0: it does not read the store again";
        assert_eq!(said, wanted);
        let wanted =
            r#"kubectl patch externalsecret es -n shop --type=merge -p '{"spec":{"refreshInterval":"1h"}}'"#;
        assert_eq!(help.as_deref(), Some(wanted));
        let mut once = object("es", Some("api"), "key");
        once["spec"]["refreshPolicy"] = json!("CreatedOnce");
        assert!(why(Some(once), None, Holds::Old).1.unwrap().contains("Periodic"));
    }

    #[test]
    fn what_an_external_secret_says_is_repeated_in_one_bounded_line() {
        let mut object = object("es", Some("api"), "key");
        let message = format!("could not get\n{}", "x".repeat(1_000));
        object["status"] =
            json!({ "conditions": [{ "type": "Ready", "status": "False", "message": message }] });
        let (said, help) = why(Some(object), None, Holds::Old);
        assert!(said.contains("it says that it is not ready: could not get xxx"), "{said}");
        assert!(said.len() < 600 && help.is_none(), "{said}");
    }

    #[test]
    fn a_third_value_is_another_partys() {
        let (said, _) = why(Some(object("es", Some("api"), "key")), None, Holds::Other);
        assert!(said.starts_with("the Secret holds another value, which keyroll did not write"), "{said}");
        assert!(why(None, None, Holds::Unreadable).0.contains("does not exist"));
    }

    #[test]
    fn a_right_that_is_missing_is_named_with_the_interval_that_was_waited_for() {
        let (said, help) = why(Some(object("es", Some("api"), "key")), Some(Unasked::NotChanged), Holds::Old);
        assert!(
            said.ends_with("may not patch externalsecrets, and waited for its own interval (1h)"),
            "{said}"
        );
        assert!(help.unwrap().contains("[list, patch]"));
        assert!(why(None, Some(Unasked::NotListed), Holds::Old).0.contains("may not list externalsecrets"));
    }
}
