//! Evidence from the containers of one consumer. No kind is inferred from another.
//!
//! A pod shows nothing before its roll-out is done: before, an old pod may still serve, and a new one may still fail.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;

use keyroll_codes::Code;
use keyroll_host::{LOCAL, place_digest};
use keyroll_port::{Class, Evidence, Failure, Prepared, Proved, Proving};
use keyroll_rotation::{Holds, Incarnation, InstanceIdentity, Kinds, PATHS_MAX, Proof, Visibility, Which};

use super::ClusterHost;
use super::memo::Half;
use super::rolled_out::RollOut;
use super::seen::{Seen, Taken, described, has_to_follow};
use super::setup::{KeySetup, PodsSetup};
use crate::commands::never_follows;
use crate::model::{Container, From, Pod, SecretSeen, Taking, Way};

/// Which pods may show something, by the state of the roll-out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ground {
    /// Nothing is waited for.
    done: bool,
    /// The uids of the pods that count; `None`: all do.
    new: Option<BTreeSet<String>>,
    /// Nothing runs for long: what the next pod will be given counts.
    rests: bool,
    /// The new pods fail.
    fails: bool,
}

impl Ground {
    /// By the state of a roll-out (`None`: nothing is rolled out); and what is waited for.
    pub(super) fn of(pods: &PodsSetup, roll_out: Option<RollOut>) -> (Self, Option<String>) {
        let ground = Self { done: true, new: None, rests: pods.is_job(), fails: false };
        match roll_out {
            None => (ground, None),
            Some(RollOut::Done { pods }) => (Self { new: Some(pods), ..ground }, None),
            Some(RollOut::AtRest) => (Self { rests: true, ..ground }, None),
            Some(RollOut::Going(why)) => (Self { done: false, ..ground }, Some(why)),
            Some(RollOut::Against(why)) => (Self { done: false, fails: true, ..ground }, Some(why)),
        }
    }

    fn counts(&self, pod: &Pod) -> bool {
        self.done && self.new.as_ref().is_none_or(|new| new.contains(&pod.uid))
    }
}

/// The life of a container: a pod of the same name, and another start of the container, are other ones.
pub(super) fn life(pod: &Pod, container: &Container) -> Incarnation {
    let digest = |text: &str| place_digest(Path::new(text));
    let run = format!("{} {:?} {}", container.name, container.started, container.restarts);
    Incarnation {
        host: LOCAL,
        life: InstanceIdentity::Container { pod: digest(&pod.uid), run: digest(&run) },
    }
}

impl ClusterHost {
    /// The whole evidence: nothing that the issuer's sessions show is used.
    pub(super) async fn begin_evidence(&self, of: Proving<'_>) -> Prepared {
        let since_ms = self.clock.monotonic_ms();
        let waiting = self.memo().waiting(of, since_ms);
        let seen = match waiting {
            Some(waiting) => Ok(waiting),
            None => {
                let seen = self.evidence(of).await;
                self.memo().note_waiting(of, since_ms, &seen);
                seen
            }
        };
        // Drawn, so that a number of a keyroll that ran before this one is unknown here.
        let number = RandomState::new().hash_one((of.consumer.0, of.slot));
        self.memo().halves.insert((of.consumer, of.slot), Half { number, which: of.which, seen });
        Prepared { number, reads_again: false }
    }

    /// What was seen, with the remarks about it.
    pub(super) fn end_evidence(&self, prepared: Prepared, of: Proving<'_>) -> Proved {
        let mut memo = self.memo();
        let at = (of.consumer, of.slot);
        let is_this = |half: &Half| half.number == prepared.number && half.which == of.which;
        let half = if memo.halves.get(&at).is_some_and(is_this) { memo.halves.remove(&at) } else { None };
        Proved {
            evidence: half.map_or_else(|| Err(unknown()), |half| half.seen),
            remarks: memo.take_remarks(of.consumer),
            failing_checks: memo.checked.failing(of.consumer, of.which),
            downtimes: Vec::new(),
        }
    }

    /// Keeps a remark for the next answer about this consumer.
    pub(super) fn remark(&self, of: Proving<'_>, failure: Failure) {
        self.memo().remark(of.consumer, of.which, failure);
    }

    async fn evidence(&self, of: Proving<'_>) -> Result<Evidence, Failure> {
        let pods = self.pods_setup(of.consumer)?;
        let key = self.key_setup(pods.file)?;
        // What the operator trusts of a program says nothing of a pod whose node is gone: each has to be ready.
        let is_rolled_out = match pods.rereads {
            true => pods.trusted,
            false => pods.has_roll_out(),
        };
        let own = if pods.canary { None } else { self.see_for_evidence(pods).await? };
        let (seen, roll_out) = match own {
            Some(own) => (own.seen, is_rolled_out.then_some(own.roll_out)),
            None => {
                let seen = self.see().await?;
                let roll_out =
                    if is_rolled_out { Some(self.rolled_out_in(pods, of.slot).await?) } else { None };
                (seen, roll_out)
            }
        };
        let secret = self.with_version(key, &seen, of);
        if secret.is_none() {
            let attempted = format!("find the version of '{}' in {}", pods.name, key.shown());
            let failure = Failure::new(Class::Retryable, Code::CopyDiffers, attempted);
            self.remark(of, failure.because("it is not there, or holds something else"));
        }
        let is_going = matches!(roll_out, Some(RollOut::Going(_)));
        let (now_ms, limit_ms) = (self.clock.monotonic_ms(), self.unit_ms_max());
        let long = self.memo().goes_on_for_long(of, is_going, now_ms, limit_ms);
        let (ground, waits) = Ground::of(pods, roll_out);
        if let Some(waits) = waits.filter(|_| ground.fails || long) {
            self.remark(of, not_done(pods).because(waits));
        }
        let mut checked = [Kinds::NONE; PATHS_MAX];
        if let Some(secret) = secret.filter(|_| ground.done) {
            for ((path, _), kinds) in (0_u8..).zip(&pods.checks).zip(&mut checked) {
                *kinds = self.probe(of, path, secret).await?.and(Kinds::DELIVERED);
            }
        }
        let proofs = self.proofs(of, &seen, (&ground, checked))?;
        Ok(Evidence { proofs, against: ground.fails && of.which == Which::New })
    }

    /// The Secret that a new pod would take the key from, if it holds the version.
    fn with_version<'s>(&self, key: &'s KeySetup, seen: &'s Seen, of: Proving<'_>) -> Option<&'s SecretSeen> {
        let holds = |bytes| key.holding(bytes, of.values, of.which) == Holds::of(of.which);
        let secret = self.secret_of(key, seen).filter(|(_, bytes)| holds(*bytes));
        secret.and_then(|(name, _)| seen.namespace.secret(name))
    }

    /// What the pods show, by a look at the namespace and what is known of the roll-out since. `checked`: what the check of
    /// each path showed.
    pub(super) fn proofs(
        &self,
        of: Proving<'_>,
        seen: &Seen,
        (ground, checked): (&Ground, [Kinds; PATHS_MAX]),
    ) -> Result<Vec<Proof>, Failure> {
        let pods = self.pods_setup(of.consumer)?;
        let key = self.key_setup(pods.file)?;
        let secret = self.with_version(key, seen, of);
        let mut proofs = Vec::new();
        if ground.rests {
            let life = InstanceIdentity::AtRest(of.consumer);
            let who = Incarnation { host: LOCAL, life };
            let next = secret.is_some_and(|secret| key.is_in_template(&seen.namespace, &secret.name));
            let shown = if next { checked } else { [Kinds::NONE; PATHS_MAX] };
            let at_rest = proof(who, of.which, (Kinds::NONE, shown), 0);
            proofs.push(Proof { slot: of.slot.unwrap_or(0), ..at_rest });
        }
        let takers = seen.takers();
        for one in self.taken(seen, &takers) {
            if one.consumer != Some(of.consumer) || of.slot.is_some_and(|slot| slot != one.slot) {
                continue;
            }
            let base = match secret.filter(|_| ground.counts(one.pod)) {
                Some(secret) => self.shown_by(&one, (secret, seen.namespace.now), of, pods)?,
                None => Kinds::NONE,
            };
            // A job that began before the change is not waited for here: it is a holder until it ends.
            if pods.is_job() && base == Kinds::NONE {
                continue;
            }
            let paths = if base == Kinds::NONE { [Kinds::NONE; PATHS_MAX] } else { checked };
            let who = life(one.pod, one.container);
            self.memo().described.insert(who, described(&one));
            let shown = proof(who, of.which, (base, paths), pods.checks.len());
            proofs.push(Proof { slot: one.slot, ..shown });
        }
        Ok(proofs)
    }

    /// What a container that counts shows on every path. `secret` holds the version.
    fn shown_by(
        &self,
        one: &Taken<'_>,
        (secret, now): (&SecretSeen, Option<i64>),
        of: Proving<'_>,
        pods: &PodsSetup,
    ) -> Result<Kinds, Failure> {
        if pods.rereads {
            let name = &pods.name;
            if pods.trusted {
                // The operator says that the program reads the file; when the file follows, the cluster says.
                let key = self.key_setup(pods.file)?;
                // The time of an apply does not show when it was changed.
                let bound = secret.changed.get(&key.key).is_some_and(|changed| changed.bound);
                let follows =
                    takes_only(key, one.pod, one.container, secret) && !keeps(key, one.pod, one.container);
                if bound && follows && !has_to_follow(secret, &key.key, now) {
                    return Ok(Kinds::DELIVERED);
                }
                let attempted = format!("show that '{name}' uses the version");
                let failure = Failure::new(Class::Retryable, Code::NoEvidencePossible, attempted);
                self.remark(
                    of,
                    failure.because(match now {
                        Some(_) => "a node refreshes a mounted file within two minutes of a change, and does not show when",
                        None => "when two minutes have passed since the change is not visible: the answers of the API server \
                                 have no date, which a proxy before it leaves out",
                    }),
                );
                return Ok(Kinds::NONE);
            }
            let attempted = format!("show that '{name}' uses the version");
            let why =
                format!("whether the program of {name} has read the file again is not visible in a cluster");
            let failure = Failure::new(Class::Retryable, Code::NoEvidencePossible, attempted).because(why);
            self.remark(of, failure.help(format!("keyroll consumer waive {name} --reason WHY")));
            return Ok(Kinds::DELIVERED);
        }
        let key = self.key_setup(pods.file)?;
        // A pod of before is current in the Secret of its own version.
        let own = takes_only(key, one.pod, one.container, secret);
        let given = || key.versioned.is_some() && never_other(key, one.pod, one.container, secret);
        if own && (one.judged.word == "current" || given()) {
            return Ok(Kinds::DELIVERED.and(Kinds::LOADED));
        }
        // A job of before is no part of any roll-out.
        if !pods.is_job() {
            let (pod, container) = (&one.pod.name, &one.container.name);
            let why = format!("pod {pod}, container {container}: {}", one.judged.sentence);
            self.remark(of, not_done(pods).because(why));
        }
        Ok(Kinds::NONE)
    }
}

/// From which Secrets a container takes the key, and how.
fn takes<'p>(
    key: &'p KeySetup,
    pod: &'p Pod,
    container: &'p Container,
) -> impl Iterator<Item = (&'p str, &'p Taking)> {
    let own = pod.takes.iter().filter(move |taking| {
        taking.container == container.name && !taking.shadowed && taking.way != Way::PullImage
    });
    own.filter_map(move |taking| match &taking.from {
        From::Secret { name, key: part } if part.as_ref().is_none_or(|part| *part == key.key) => {
            key.is_of(name).then_some((name.as_str(), taking))
        }
        From::Secret { .. } | From::Map { .. } | From::Text(_) | From::Class(_) => None,
    })
}

/// Whether a container takes the key from this Secret and from no other one.
pub(super) fn takes_only(key: &KeySetup, pod: &Pod, container: &Container, secret: &SecretSeen) -> bool {
    takes(key, pod, container).all(|(name, _)| name == secret.name)
}

/// Whether a container has the key in a way that does not follow the Secret, such as a variable.
fn keeps(key: &KeySetup, pod: &Pod, container: &Container) -> bool {
    takes(key, pod, container).any(|(_, taking)| never_follows(&taking.way))
}

/// Whether the node has no other content of this name: it never changes, and was there before the pod. Times are whole
/// seconds; a container that can do without it may have begun in the same one, before it was there.
fn never_other(key: &KeySetup, pod: &Pod, container: &Container, secret: &SecretSeen) -> bool {
    let after = |optional: bool| match (secret.created, pod.created) {
        (Some(made), Some(pod)) if optional => pod > made,
        (Some(made), Some(pod)) => pod >= made,
        (None, _) | (_, None) => false,
    };
    secret.immutable && takes(key, pod, container).all(|(_, taking)| after(taking.optional))
}

/// A proof: what is shown on each of so many paths, and what besides on one. What is at rest has no sessions.
fn proof(
    who: Incarnation,
    version: Which,
    (base, mut paths): (Kinds, [Kinds; PATHS_MAX]),
    count: usize,
) -> Proof {
    paths.iter_mut().take(count).for_each(|kinds| *kinds = kinds.and(base));
    let other_session = if who.life.runs() { Visibility::NotVisible } else { Visibility::No };
    Proof { who, slot: 0, version, paths, other_session }
}

/// The roll-out of a consumer is not done.
fn not_done(pods: &PodsSetup) -> Failure {
    Failure::new(
        Class::Retryable,
        Code::RollOutNotDone,
        format!("see the end of the roll-out of {}", pods.object()),
    )
}

fn unknown() -> Failure {
    Failure::new(Class::Retryable, Code::OtherDriver, "finish a look at who uses the value")
        .because("another look was begun since, the value was changed, or keyroll was started anew")
        .help("the look is made again")
}

#[cfg(test)]
mod tests {
    use keyroll_config::WorkloadKind;
    use keyroll_rotation::ConsumerId;

    use super::*;
    use crate::host::memo::Memo;
    use crate::host::sample;
    use crate::model::Taking;

    fn pods(kind: WorkloadKind) -> PodsSetup {
        PodsSetup { kind, ..sample::pods() }
    }

    fn key() -> KeySetup {
        let versioned = Some((WorkloadKind::Deployment, "agent".to_owned()));
        KeySetup { key: "k".to_owned(), versioned, ..sample::key() }
    }

    /// The variable of a container.
    fn taking(secret: &str, key: &str, optional: bool) -> Taking {
        Taking { optional, ..sample::takes(secret, key, sample::env()) }
    }

    const MADE: i64 = 1_000;
    const NEW: &str = "api-0123456789";

    fn taking_pod(created: i64, takes: Vec<Taking>) -> (Pod, Container) {
        let container = Container { name: "app".to_owned(), running: true, ..Container::default() };
        (Pod { created: Some(created), takes: takes.into(), ..Pod::default() }, container)
    }

    #[test]
    fn a_pod_of_another_version_shows_nothing_of_this_one() {
        let secret = SecretSeen { name: NEW.to_owned(), ..SecretSeen::default() };
        let only = |takes| {
            let (pod, container) = taking_pod(MADE, takes);
            takes_only(&key(), &pod, &container, &secret)
        };
        assert!(only(vec![taking(NEW, "k", false)]));
        assert!(only(vec![taking(NEW, "k", false), taking("api-aaaaaaaaaa", "other", false)]));
        for other in ["api", "api-aaaaaaaaaa"] {
            assert!(!only(vec![taking(other, "k", false)]));
            assert!(!only(vec![taking(NEW, "k", false), taking(other, "k", false)]));
        }
    }

    #[test]
    fn a_version_that_never_changes_is_what_a_later_pod_was_given() {
        let secret = |immutable| SecretSeen {
            name: NEW.to_owned(),
            immutable,
            created: Some(MADE),
            ..SecretSeen::default()
        };
        let given = |created, optional, secret: &SecretSeen| {
            let (pod, container) = taking_pod(created, vec![taking(NEW, "k", optional)]);
            never_other(&key(), &pod, &container, secret)
        };
        assert!(given(MADE, false, &secret(true)) && given(MADE + 1, true, &secret(true)));
        assert!(!given(MADE, true, &secret(true)), "it may have begun without the value");
        assert!(!given(MADE - 1, false, &secret(true)));
        assert!(!given(MADE + 1, false, &secret(false)));
        let unknown = SecretSeen { created: None, ..secret(true) };
        assert!(!given(MADE + 1, false, &unknown));
    }

    #[test]
    fn each_start_of_a_container_is_a_life_of_its_own() {
        let pod = |uid: &str| Pod { uid: uid.to_owned(), name: "agent-0".to_owned(), ..Pod::default() };
        let container = |name: &str, started, restarts| Container {
            name: name.to_owned(),
            started,
            restarts,
            running: true,
            ..Container::default()
        };
        let all = [
            life(&pod("a"), &container("app", Some(7), 0)),
            life(&pod("b"), &container("app", Some(7), 0)),
            life(&pod("a"), &container("proxy", Some(7), 0)),
            life(&pod("a"), &container("app", Some(8), 0)),
            life(&pod("a"), &container("app", Some(7), 1)),
            life(&pod("a"), &container("app", None, 0)),
        ];
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(all[0], life(&pod("a"), &container("app", Some(7), 0)));
    }

    #[test]
    fn only_the_pods_of_a_finished_roll_out_count() {
        let pod = |uid: &str| Pod { uid: uid.to_owned(), ..Pod::default() };
        let of = |roll_out| Ground::of(&pods(WorkloadKind::Deployment), roll_out);
        let (done, waits) = of(Some(RollOut::Done { pods: BTreeSet::from(["a".to_owned()]) }));
        assert!(done.counts(&pod("a")) && !done.counts(&pod("b")) && waits.is_none());
        for (roll_out, fails) in
            [(RollOut::Going("why".to_owned()), false), (RollOut::Against("why".to_owned()), true)]
        {
            let (ground, waits) = of(Some(roll_out));
            assert!(!ground.counts(&pod("a")) && !ground.rests);
            assert_eq!((ground.fails, waits.as_deref()), (fails, Some("why")));
        }
        assert!(of(Some(RollOut::AtRest)).0.rests);
        assert!(of(None).0.counts(&pod("a")) && !of(None).0.rests);
        assert!(Ground::of(&pods(WorkloadKind::CronJob), None).0.rests);
    }

    #[test]
    fn a_remark_is_reported_once_and_only_about_its_own_consumer() {
        let mut memo = Memo::default();
        let (one, two) = (ConsumerId(0), ConsumerId(1));
        let remark = |why: &str| not_done(&pods(WorkloadKind::Deployment)).because(why.to_owned());
        memo.remark(one, Which::New, remark("2 of 3"));
        memo.remark(one, Which::New, remark("2 of 3"));
        memo.remark(two, Which::New, remark("2 of 3"));
        assert_eq!(memo.take_remarks(one).len(), 1);
        memo.remark(one, Which::New, remark("2 of 3"));
        assert!(memo.take_remarks(one).is_empty());
        memo.remark(one, Which::Old, remark("2 of 3"));
        memo.remark(one, Which::New, remark("3 of 3"));
        assert_eq!(memo.take_remarks(one).len(), 2);
        assert_eq!(memo.take_remarks(two).len(), 1);
    }

    #[test]
    fn a_roll_out_is_remarked_on_once_it_goes_on_for_a_minute_or_a_quarter_of_its_time() {
        let old = keyroll_secret::Fields::single(keyroll_secret::SecretBytes::from("x".to_owned()));
        let values = keyroll_port::Values { old: &old, new: None, old_ended: false };
        let of = Proving { consumer: ConsumerId(0), slot: None, which: Which::New, values, watched: false };
        let mut memo = Memo::default();
        let mut goes_on = |of, is_going, now_ms| memo.goes_on_for_long(of, is_going, now_ms, 600_000);
        assert!(!goes_on(of, true, 5_000) && !goes_on(of, true, 65_000));
        assert!(goes_on(of, true, 65_001));
        let other = Proving { which: Which::Old, ..of };
        assert!(!goes_on(other, true, 65_001));
        assert!(!goes_on(of, false, 65_002));
        assert!(!goes_on(of, true, 65_003), "it is another one");
        // The shortest limit that there may be: it is said before that is over.
        let mut memo = Memo::default();
        let mut goes_on = |now_ms| memo.goes_on_for_long(of, true, now_ms, 60_000);
        assert!(!goes_on(5_000) && !goes_on(20_000) && goes_on(20_001));
    }

    #[test]
    fn what_showed_nothing_is_the_answer_for_a_second_unless_the_consumer_is_watched() {
        let old = keyroll_secret::Fields::single(keyroll_secret::SecretBytes::from("x".to_owned()));
        let values = keyroll_port::Values { old: &old, new: None, old_ended: false };
        let of = Proving { consumer: ConsumerId(0), slot: None, which: Which::New, values, watched: false };
        let who = Incarnation { host: LOCAL, life: InstanceIdentity::AtRest(ConsumerId(0)) };
        let shows = |kinds: Kinds| proof(who, Which::New, (kinds, [kinds; PATHS_MAX]), 1);
        let seen = |kinds, against| Ok(Evidence { proofs: vec![shows(kinds)], against });
        let mut memo = Memo::default();
        memo.note_waiting(of, 5_000, &seen(Kinds::NONE, false));
        assert_eq!(memo.waiting(of, 5_999).unwrap().proofs, [shows(Kinds::NONE)]);
        assert!(memo.waiting(of, 6_000).is_none());
        for other in [
            Proving { watched: true, ..of },
            Proving { which: Which::Old, ..of },
            Proving { consumer: ConsumerId(1), ..of },
        ] {
            assert!(memo.waiting(other, 5_001).is_none());
        }
        // What showed something, what speaks against the version and what failed are looked at again.
        for other in [seen(Kinds::DELIVERED, false), seen(Kinds::NONE, true), Err(unknown())] {
            memo.note_waiting(of, 5_000, &seen(Kinds::NONE, false));
            memo.note_waiting(of, 5_000, &other);
            assert!(memo.waiting(of, 5_001).is_none());
        }
    }

    #[test]
    fn a_proof_has_what_every_path_shows_and_what_each_one_shows() {
        let who = Incarnation { host: LOCAL, life: InstanceIdentity::AtRest(ConsumerId(0)) };
        let mut paths = [Kinds::NONE; PATHS_MAX];
        paths[1] = Kinds::CHECKED;
        let proof = proof(who, Which::New, (Kinds::LOADED, paths), 2);
        assert_eq!(proof.paths[0], Kinds::LOADED);
        assert_eq!(proof.paths[1], Kinds::LOADED.and(Kinds::CHECKED));
        assert_eq!(proof.paths[2], Kinds::NONE, "there is no such path");
    }
}
