//! Which value a container uses, by the times that the API shows. Nothing is asked of the container itself.
//!
//! A wrong *current* is worse than an *unknown*: the kubelet gives a container the value of its own cache, which may be
//! behind the API server.

use keyroll_inventory::clock;

use crate::model::{Changed, Container, History, Mounted, Pod, Taking, Way};

/// How far the kubelet's cache may be behind for a pod that is new to it, seconds. A kubelet that watches gets the Secret and
/// the pod over one connection; one that caches for a time asks anew for each new pod. What is left is the delay of the API
/// server's own watches, with a margin for the clocks of the nodes.
/// Source: `AddReference` and `Get` of
/// <https://github.com/kubernetes/kubernetes/tree/master/pkg/kubelet/util/manager>.
pub(crate) const CACHE_S: i64 = 30;

/// How far the clock of a node may be behind that of the API server, seconds, before a container that took the present
/// value is called stale. Clocks that are kept by NTP differ by milliseconds.
pub(crate) const CLOCK_S: i64 = 2;

/// Why nothing shows which content of a file is in use.
const FILE: &str =
    "the file follows by itself within about two minutes; whether the program reads it again is not visible";

/// Why nothing shows which content of an object of an old name is in use. Source: `Get` of
/// <https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/util/manager/watch_based_manager.go>.
const KEPT: &str = "another one of this name may have been there before: if that one was immutable, a node keeps it as long as \
                    one of its pods takes it, and gives it to new pods, too; a new name is certain";

/// What is said of one container and one secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judged {
    /// `current`, `stale`, `likely stale`, `unknown`.
    pub(crate) word: &'static str,
    /// Why, in one sentence.
    pub(crate) sentence: String,
    /// Why it is not certain.
    pub(crate) doubt: Option<String>,
    /// What it rests on, one sentence each.
    pub(crate) grounds: Vec<String>,
    /// A new pod would surely have the present value.
    pub(crate) renew: bool,
}

/// What a container takes, as it is now.
pub(crate) struct Source<'s> {
    /// Its changes; `None`: the API does not show when it was changed.
    pub(crate) history: Option<History<'s>>,
    /// Its key.
    pub(crate) key: &'s str,
    /// The same in words: `secret/anthropic-credentials api-key`.
    pub(crate) place: &'s str,
    /// The label of the value that is there now.
    pub(crate) label: &'s str,
    /// What takes it is older than it: it may not be the first one of its name.
    pub(crate) remade: bool,
}

/// The last change of a source that shows itself.
struct Change<'s> {
    at: i64,
    by: &'s str,
    /// It was not changed after `at`.
    bound: bool,
    /// Why the value may be the one of before.
    doubt: Option<String>,
}

/// The verdict about a container that takes a key of a Secret.
pub(crate) fn judged(taking: &Taking, container: &Container, pod: &Pod, source: &Source<'_>) -> Judged {
    let (started, made) = (container.started, pod.created);
    let change = change_of(source);
    let grounds = grounds(container, pod, source, change.as_ref());
    let (Some(started), Some(made)) = (started, made) else {
        return unknown("the API does not show when its container was started", grounds);
    };
    let file = matches!(taking.way, Way::File(_) | Way::Projected(_));
    if source.remade && (taking.init || file || change.as_ref().is_none_or(|change| started >= change.at)) {
        return unknown(KEPT, grounds);
    }
    let Some(change) = change else {
        return unknown(&format!("the API does not show when {} was changed", source.place), grounds);
    };
    if let Some(why) = newer(&change, source, started, made) {
        return current(source, &why, grounds);
    }
    if taking.init && !container.running && started <= change.at {
        return unknown(
            "it initialised the pod before the change: what it wrote from it is not visible",
            grounds,
        );
    }
    // What has ended reads no file again.
    if file && (container.running || !taking.init) {
        return unknown(FILE, grounds);
    }
    if let Some(created) = created_after(started, taking, source) {
        let why = format!(
            "it was started before {} was made ({}), which it can do without: it has no value, or that of an earlier one",
            source.place,
            time(created)
        );
        return Judged { renew: !source.remade, ..unknown(&why, grounds) };
    }
    // Times are whole seconds: within the same one, either may have been first.
    if started < change.at {
        return behind(&change, started, source, grounds);
    }
    let why = if !change.bound {
        format!(
            "only a server-side apply has {}, and its time does not show when it was changed",
            source.place
        )
    } else if started <= change.at.saturating_add(CACHE_S) {
        format!(
            "it was started within {CACHE_S} s after the change: the kubelet may have given it the value from its cache"
        )
    } else {
        let again = if container.restarts > 0 { " again" } else { "" };
        format!(
            "it was started{again} in a pod that is not newer than the change: the kubelet may have given it the value from \
             its cache"
        )
    };
    // The time of an apply says no more of a new pod.
    Judged { renew: change.bound, ..unknown(&why, grounds) }
}

/// When an object was made that a container could start without, if that was after its start.
fn created_after(started: i64, taking: &Taking, source: &Source<'_>) -> Option<i64> {
    let created = source.history.and_then(|history| history.created)?;
    (taking.optional && started < created).then_some(created)
}

/// Why a container must have the value that is there now; `None`: nothing shows it. The time of its pod is by the clock of
/// the API server, so that the clock of the node does not matter.
fn newer(change: &Change<'_>, source: &Source<'_>, started: i64, made: i64) -> Option<String> {
    if !change.bound {
        return None;
    }
    if is_untouched(source, change) && made >= change.at && started >= change.at {
        let made = time(change.at);
        return Some(format!("it was not changed since it was made ({made}), and nothing here is older"));
    }
    let settled = change.at.saturating_add(CACHE_S);
    (started > settled && made > settled)
        .then(|| format!("it was started after the last change ({})", time(change.at)))
}

/// The last change. An object that was made anew may hold another value under every key.
fn change_of<'s>(source: &Source<'s>) -> Option<Change<'s>> {
    let history = source.history?;
    let Changed { at, by, sure, bound } = history.changed.get(source.key)?;
    if let Some(at) = history.created.filter(|created| created >= at) {
        let (by, anew) =
            if source.remade { ("whoever made it anew", "made anew") } else { (by.as_str(), "made") };
        let doubt = format!("it was {anew} at {} and may hold the value of before", time(at));
        return Some(Change { at, by, bound: *bound, doubt: Some(doubt) });
    }
    let doubt = || format!("the last write of {by} at {} may have changed another field", time(*at));
    Some(Change { at: *at, by, bound: *bound, doubt: (!sure).then(doubt) })
}

/// Whether an object has held only its present value since it was made, and is the first one of its name.
fn is_untouched(source: &Source<'_>, change: &Change<'_>) -> bool {
    let alone = |history: History<'_>| {
        let sure = history.changed.get(source.key).is_some_and(|changed| changed.sure);
        sure && history.made_at_once && history.created == Some(change.at)
    };
    !source.remade && source.history.is_some_and(alone)
}

/// For a container that never follows, and was started before the last change.
fn behind(change: &Change<'_>, started: i64, source: &Source<'_>, mut grounds: Vec<String>) -> Judged {
    let Source { place, label, .. } = source;
    // Without the time of the start: pods with one cause are told together.
    let text = format!(
        "it is older than the last change of {place} ({} by {}), which now holds {label}",
        time(change.at),
        change.by
    );
    let near = started.saturating_add(CLOCK_S) >= change.at;
    let clock = near.then(|| format!("the clock of its node may be {CLOCK_S} s behind"));
    let Some(doubt) = change.doubt.clone().or(clock) else {
        let sentence = format!("uses a STALE value: {text}");
        return Judged { word: "stale", sentence, doubt: None, grounds, renew: true };
    };
    grounds.push(format!("no proof: {doubt}"));
    let sentence = format!("LIKELY uses a STALE value: {text}; not proven: {doubt}");
    Judged { word: "likely stale", sentence, doubt: Some(doubt), grounds, renew: true }
}

/// The verdict about a text that stands in the pod itself: both values are known.
pub(crate) fn of_text(own: &str, same: bool, source: &Source<'_>) -> Judged {
    let grounds =
        vec![format!("the text of the pod has {own}"), format!("{} has {}", source.place, source.label)];
    match same {
        true => current(source, "its pod has the same text", grounds),
        false => {
            let Source { place, label, .. } = source;
            let sentence =
                format!("uses a STALE value: its pod has {own} as a text, and {place} now holds {label}");
            Judged { word: "stale", sentence, doubt: None, grounds, renew: true }
        }
    }
}

/// The verdict about a pod whose template now takes the value from another place, where another value is. `own`: what is
/// said of the place of the pod, and its name.
pub(crate) fn moved(own: Judged, place: &str, source: &Source<'_>) -> Judged {
    let Judged { word, mut grounds, .. } = own;
    let text = format!(
        "its pod takes it from {place}, and a new pod takes it from {}, which holds {}",
        source.place, source.label
    );
    grounds.push(text.clone());
    if word == "current" {
        let sentence = format!("uses a STALE value: {text}");
        return Judged { word: "stale", sentence, doubt: None, grounds, renew: true };
    }
    let doubt = "which value that place held at its start is not visible".to_owned();
    let sentence = format!("LIKELY uses a STALE value: {text}; not proven: {doubt}");
    Judged { word: "likely stale", sentence, doubt: Some(doubt), grounds, renew: true }
}

/// The verdict about a pod whose template now takes the value from another place, where nothing is visible.
pub(crate) fn hidden(place: &str, grounds: Vec<String>) -> Judged {
    unknown(&format!("a new pod takes it from {place}, and the value there is not visible"), grounds)
}

/// The verdict about what a CSI driver mounted, of which only the version's name is visible. `newest`: what it mounted in
/// the pod of the same workload that was made last, and is newer than this one.
pub(crate) fn mounted(own: &Mounted, newest: Option<&Mounted>) -> Judged {
    let grounds = vec![format!("the driver mounted version {} of {}", own.version, own.object)];
    let Some(newest) = newest.filter(|newest| newest.version != own.version) else {
        let why = format!("only the name of its version is visible: {}", own.version);
        return unknown(&why, grounds);
    };
    let doubt = "only the names of the versions are visible".to_owned();
    let sentence = format!(
        "LIKELY uses a STALE value: the driver mounted version {} of {}, and in pod {} version {}; not proven: {doubt}",
        own.version, own.object, newest.pod, newest.version
    );
    Judged { word: "likely stale", sentence, doubt: Some(doubt), grounds, renew: true }
}

/// Why a container does not run, so that it uses no value; `None`: it runs, or did what it was there for.
pub(crate) fn idle(container: &Container, pod: &Pod) -> Option<String> {
    let restarts = match container.restarts {
        0 => String::new(),
        1 => ", started again once".to_owned(),
        many => format!(", started again {many} times"),
    };
    match (&container.waits, container.started) {
        // A running container that is said to wait has begun meanwhile.
        _ if container.running => None,
        (Some(why), _) => Some(format!("it does not run: {why}{restarts}")),
        (None, None) => Some(format!("it has not started (its pod is {})", pod.phase)),
        (None, Some(_)) if container.init => None,
        (None, Some(_)) => Some(format!("it has ended{restarts}")),
    }
}

/// A wall-clock time of the API, as reports show it.
pub(crate) fn time(seconds: i64) -> String {
    clock(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
}

/// What the API shows of the times.
fn grounds(
    container: &Container,
    pod: &Pod,
    source: &Source<'_>,
    change: Option<&Change<'_>>,
) -> Vec<String> {
    let at = |at: Option<i64>| at.map_or_else(|| "at an unknown time".to_owned(), time);
    let mut all = vec![
        format!("container {} was started {}", container.name, at(container.started)),
        format!("its pod was made {}{}", at(pod.created), on_node(pod)),
    ];
    if pod.ending {
        all.push("its pod was asked to end".to_owned());
    }
    all.push(match change {
        Some(change) if !change.bound => {
            format!("the last visible write of {} was {} (by {})", source.place, time(change.at), change.by)
        }
        Some(change) => {
            format!("{} was not changed after {} (by {})", source.place, time(change.at), change.by)
        }
        None => format!("the API does not show when {} was changed", source.place),
    });
    all
}

/// `, on node worker-1`.
fn on_node(pod: &Pod) -> String {
    pod.node.as_ref().map(|node| format!(", on node {node}")).unwrap_or_default()
}

fn current(source: &Source<'_>, why: &str, grounds: Vec<String>) -> Judged {
    let Source { place, label, .. } = source;
    let sentence = format!("uses {label}, which a new start would take from {place}: {why}");
    Judged { word: "current", sentence, doubt: None, grounds, renew: false }
}

/// Nothing shows which value is used.
pub(crate) fn unknown(why: &str, mut grounds: Vec<String>) -> Judged {
    grounds.push(format!("no proof: {why}"));
    let sentence = format!("version unknown: {why}");
    Judged { word: "unknown", sentence, doubt: Some(why.to_owned()), grounds, renew: false }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::{From, SecretSeen};

    const CHANGE: i64 = 1_000_000;

    /// A Secret whose key was changed at `CHANGE`.
    fn secret(sure: bool) -> SecretSeen {
        let changed = Changed { at: CHANGE, by: "kubectl-patch".to_owned(), sure, bound: true };
        SecretSeen {
            name: "x".to_owned(),
            created: Some(CHANGE - 5_000),
            changed: BTreeMap::from([("k".to_owned(), changed)]),
            ..SecretSeen::default()
        }
    }

    fn taking(way: Way, init: bool) -> Taking {
        let from = From::Secret { name: "x".to_owned(), key: Some("k".to_owned()) };
        Taking { container: "app".to_owned(), init, from, way, optional: false, shadowed: false }
    }

    /// The verdict about a container that was started so many seconds after the change, in a pod that was made so many
    /// seconds after it.
    fn of(way: Way, secret: Option<&SecretSeen>, started: i64, made: i64) -> Judged {
        with(&taking(way, false), secret, started, made)
    }

    fn with(taking: &Taking, secret: Option<&SecretSeen>, started: i64, made: i64) -> Judged {
        let container = Container {
            name: "app".to_owned(),
            init: taking.init,
            started: Some(CHANGE + started),
            running: !taking.init,
            ..Container::default()
        };
        let pod = Pod { created: Some(CHANGE + made), ..Pod::default() };
        judged(taking, &container, &pod, &Source { history: secret.map(SecretSeen::history), ..source() })
    }

    /// Of a key of which nothing is known.
    fn source() -> Source<'static> {
        Source { history: None, key: "k", place: "secret/x k", label: "…·1", remade: false }
    }

    fn env() -> Way {
        Way::Env("X".to_owned())
    }

    #[test]
    fn what_never_follows_is_current_only_if_container_and_pod_are_newer_than_every_cache() {
        let secret = secret(true);
        for way in [env(), Way::EnvFrom("X_".to_owned()), Way::SubPath("/k".to_owned()), Way::Argument] {
            let word = |started, made| of(way.clone(), Some(&secret), started, made).word;
            assert_eq!(word(31, 31), "current");
            assert_eq!(word(30, 30), "unknown");
            assert_eq!(word(31, 30), "unknown");
            assert_eq!(word(500, -10), "unknown");
            assert_eq!(word(1, -10), "unknown");
            assert_eq!(word(0, -10), "unknown", "in the same second");
            assert_eq!(word(-2, -10), "likely stale", "the clocks may differ");
            assert_eq!(word(-3, -10), "stale");
            assert_eq!(word(-500, -510), "stale");
        }
        let near = of(env(), Some(&secret), 7, 6).doubt.unwrap();
        assert!(near.starts_with("it was started within 30 s after the change"), "{near}");
    }

    #[test]
    fn the_grounds_name_the_node_of_a_pod_and_that_it_was_asked_to_end() {
        let seen = secret(true);
        let grounds = |pod: Pod| {
            let container =
                Container { name: "app".to_owned(), started: Some(CHANGE), ..Container::default() };
            let source = Source { history: Some(seen.history()), ..source() };
            judged(&taking(env(), false), &container, &pod, &source).grounds
        };
        let bare = grounds(Pod { created: Some(CHANGE - 1), ..Pod::default() });
        assert_eq!(bare[1], format!("its pod was made {}", time(CHANGE - 1)));
        assert!(!bare.iter().any(|ground| ground.contains("asked to end")), "{bare:?}");
        let ending = grounds(Pod {
            created: Some(CHANGE - 1),
            node: Some("worker-1".to_owned()),
            ending: true,
            ..Pod::default()
        });
        let wanted = [
            format!("its pod was made {}, on node worker-1", time(CHANGE - 1)),
            "its pod was asked to end".to_owned(),
        ];
        assert_eq!(ending[1..3], wanted);
    }

    #[test]
    fn a_write_that_may_have_changed_another_field_makes_nobody_surely_stale() {
        let judged = of(env(), Some(&secret(false)), -1, -2);
        assert_eq!(judged.word, "likely stale");
        let last = judged.grounds.last().unwrap();
        assert!(last.contains("the last write of kubectl-patch at 1970-01-12"), "{last}");
        assert!(last.ends_with("may have changed another field"), "{last}");
    }

    #[test]
    fn a_secret_that_was_made_anew_counts_as_changed_then() {
        let anew = SecretSeen { created: Some(CHANGE + 900), ..secret(true) };
        assert_eq!(of(env(), Some(&anew), 500, 500).word, "likely stale");
        assert_eq!(of(env(), Some(&anew), 961, 961).word, "current");
        // The node may keep the former one.
        assert_eq!(named(&anew, true, 961, 961).word, "unknown");
    }

    #[test]
    fn a_secret_that_was_never_changed_has_one_value_unless_it_was_made_anew() {
        let first = SecretSeen { created: Some(CHANGE), made_at_once: true, ..secret(true) };
        let word = |remade: bool, started: i64, made: i64| named(&first, remade, started, made).word;
        assert_eq!(word(false, 1, 0), "current");
        assert_eq!(word(true, 1, 0), "unknown");
        assert_eq!(word(false, 31, 31), "current");
        assert_eq!(word(true, 31, 31), "unknown");
        // It waited for the Secret, or took none.
        assert_eq!(word(false, 1, -1), "unknown");
        assert_eq!(word(false, -1, -1), "likely stale");
        // Another one wrote it in the same second, perhaps after the container was started.
        let twice = SecretSeen { made_at_once: false, ..first };
        assert_eq!(named(&twice, false, 1, 0).word, "unknown");
        assert_eq!(named(&twice, false, 31, 31).word, "current");
    }

    #[test]
    fn without_a_time_nothing_is_claimed() {
        let bare = SecretSeen { changed: BTreeMap::new(), ..secret(true) };
        for secret in [Some(&bare), None] {
            let judged = of(env(), secret, 5_000, 5_000);
            assert_eq!(judged.word, "unknown");
            assert!(
                judged.sentence.contains("does not show when secret/x k was changed"),
                "{}",
                judged.sentence
            );
        }
        let container = Container { running: true, ..Container::default() };
        let (pod, seen) = (Pod { created: Some(CHANGE + 500), ..Pod::default() }, secret(true));
        let source = Source { history: Some(seen.history()), remade: true, ..source() };
        assert_eq!(judged(&taking(env(), false), &container, &pod, &source).word, "unknown");
    }

    /// The verdict about a container that takes this as a variable; `remade`: there was another one of its name.
    fn named(secret: &SecretSeen, remade: bool, started: i64, made: i64) -> Judged {
        let container = Container { started: Some(CHANGE + started), running: true, ..Container::default() };
        let pod = Pod { created: Some(CHANGE + made), ..Pod::default() };
        let source = Source { history: Some(secret.history()), remade, ..source() };
        judged(&taking(env(), false), &container, &pod, &source)
    }

    #[test]
    fn a_secret_that_never_changes_is_certain_for_a_pod_that_is_newer() {
        let fixed = SecretSeen { immutable: true, created: Some(CHANGE), made_at_once: true, ..secret(true) };
        assert_eq!(named(&fixed, false, 1, 0).word, "current");
        assert_eq!(named(&fixed, false, 1, -1).word, "unknown");
        // It was changed after the pod was made, and then made immutable.
        let changed = SecretSeen { immutable: true, ..secret(true) };
        assert_eq!(named(&changed, false, -10, -11).word, "stale");
        assert_eq!(named(&changed, false, 2, 1).word, "unknown");
        // Nothing shows whether it was.
        let bare = SecretSeen { changed: BTreeMap::new(), ..fixed };
        assert_eq!(named(&bare, false, 500, 500).word, "unknown");
    }

    #[test]
    fn a_secret_that_was_made_anew_is_perhaps_kept_by_the_node() {
        for immutable in [true, false] {
            let anew = SecretSeen { immutable, created: Some(CHANGE), ..secret(true) };
            let late = named(&anew, true, 500, 500);
            assert_eq!(late.word, "unknown");
            assert!(late.sentence.contains("a node keeps it"), "{}", late.sentence);
            assert_eq!(named(&anew, true, -1, -1).word, "likely stale");
        }
    }

    #[test]
    fn what_only_an_apply_has_makes_nobody_current() {
        let changed = Changed { at: CHANGE, by: "flux".to_owned(), sure: false, bound: false };
        let applied = SecretSeen { changed: BTreeMap::from([("k".to_owned(), changed)]), ..secret(true) };
        let later = of(env(), Some(&applied), 500, 500);
        assert_eq!(later.word, "unknown");
        assert!(later.sentence.contains("only a server-side apply has secret/x k"), "{}", later.sentence);
        assert!(later.grounds[2].starts_with("the last visible write of secret/x k"), "{:?}", later.grounds);
        assert_eq!(of(env(), Some(&applied), -500, -500).word, "likely stale");
    }

    #[test]
    fn a_file_is_never_called_stale() {
        for way in [Way::File("/k".to_owned()), Way::Projected("/k".to_owned())] {
            let old = of(way.clone(), Some(&secret(true)), -500, -510);
            assert_eq!(old.word, "unknown");
            assert!(old.sentence.contains("within about two minutes"), "{}", old.sentence);
            assert_eq!(of(way.clone(), Some(&secret(true)), 30, 30).word, "unknown");
            assert_eq!(of(way, Some(&secret(true)), 61, 61).word, "current");
        }
    }

    #[test]
    fn what_an_init_container_wrote_before_the_change_is_not_visible() {
        let secret = secret(true);
        let with = |started, made| with(&taking(env(), true), Some(&secret), started, made);
        let before = with(-500, -510);
        assert_eq!(before.word, "unknown");
        assert!(before.sentence.contains("what it wrote from it is not visible"), "{}", before.sentence);
        let near = with(1, -2);
        assert!(near.sentence.contains("from its cache") && near.renew, "{}", near.sentence);
        assert!(with(500, -2).sentence.contains("it was started in a pod that is not newer"));
        assert_eq!(with(61, 61).word, "current");
    }

    #[test]
    fn an_init_container_that_still_runs_with_the_value_of_before_is_stale() {
        let container = Container { started: Some(CHANGE - 5), running: true, ..Container::default() };
        let (pod, seen) = (Pod { created: Some(CHANGE - 9), ..Pod::default() }, secret(true));
        let source = Source { history: Some(seen.history()), ..source() };
        assert_eq!(judged(&taking(env(), true), &container, &pod, &source).word, "stale");
        let file = taking(Way::File("/k".to_owned()), true);
        assert!(judged(&file, &container, &pod, &source).sentence.contains("the file follows"));
    }

    #[test]
    fn what_can_start_without_a_secret_has_perhaps_none_if_it_is_older() {
        let optional = Taking { optional: true, ..taking(env(), false) };
        let late = SecretSeen { created: Some(CHANGE), ..secret(true) };
        let before = with(&optional, Some(&late), -5, -7);
        assert_eq!((before.word, before.renew), ("unknown", true));
        assert!(
            before.sentence.contains("it has no value, or that of an earlier one"),
            "{}",
            before.sentence
        );
        assert!(!before.sentence.contains("anew"), "{}", before.sentence);
        assert_eq!(with(&optional, Some(&late), 61, 61).word, "current");
        // It was there when the container was started.
        assert_eq!(with(&optional, Some(&secret(true)), -5, -7).word, "stale");
        assert_eq!(with(&taking(env(), false), Some(&late), -5, -7).word, "likely stale");
    }

    #[test]
    fn a_new_pod_is_certain_where_the_cache_of_the_kubelet_is_the_doubt() {
        let secret = secret(true);
        let renew = |way: Way, started, made| of(way, Some(&secret), started, made).renew;
        assert!(renew(env(), 7, 6) && renew(env(), 500, -10) && renew(env(), -5, -7));
        assert!(!renew(env(), 500, 500), "it is current");
        assert!(!renew(Way::File("/k".to_owned()), 500, -10), "the file follows");
        // The node may keep the former one.
        let anew = SecretSeen { created: Some(CHANGE), ..secret };
        assert!(!named(&anew, true, 500, 500).renew && !named(&anew, true, 500, -10).renew);
    }

    #[test]
    fn a_text_of_the_pod_is_compared_with_what_a_new_pod_takes() {
        let source =
            Source { history: None, key: "X", place: "deployment/agent X", label: "…·2", remade: true };
        assert_eq!(of_text("…·2", true, &source).word, "current");
        let old = of_text("…·1", false, &source);
        assert_eq!(old.word, "stale");
        assert!(old.sentence.contains("has …·1 as a text") && old.sentence.contains("now holds …·2"));
    }

    #[test]
    fn a_pod_of_an_older_template_holds_what_its_own_secret_had() {
        let secret = secret(true);
        let source = Source { history: None, key: "k", place: "secret/y k", label: "…·2", remade: true };
        let own = |started, made| of(env(), Some(&secret), started, made);
        assert_eq!(moved(own(61, 61), "secret/x k", &source).word, "stale");
        let unsure = moved(own(-10, -11), "secret/x k", &source);
        assert_eq!(unsure.word, "likely stale");
        assert!(unsure.sentence.contains("a new pod takes it from secret/y k"), "{}", unsure.sentence);
    }

    #[test]
    fn of_a_mounted_version_only_its_difference_to_the_newest_pod_says_something() {
        let version = |pod: &str, version: &str| Mounted {
            pod: pod.to_owned(),
            pod_uid: String::new(),
            class: "c".to_owned(),
            object: "secret/x".to_owned(),
            version: version.to_owned(),
        };
        let newest = version("b", "8");
        assert_eq!(mounted(&version("a", "8"), Some(&newest)).word, "unknown");
        assert_eq!(mounted(&newest, None).word, "unknown");
        let old = mounted(&version("a", "7"), Some(&newest));
        assert_eq!(old.word, "likely stale");
        assert!(old.sentence.contains("version 7") && old.sentence.contains("in pod b version 8"));
    }

    #[test]
    fn a_container_that_does_not_run_has_a_reason_instead_of_a_verdict() {
        let pod = Pod { phase: "Pending".to_owned(), ..Pod::default() };
        let waits =
            |why: &str| Container { waits: Some(why.to_owned()), restarts: 3, ..Container::default() };
        assert_eq!(
            idle(&waits("CrashLoopBackOff"), &pod).unwrap(),
            "it does not run: CrashLoopBackOff, started again 3 times"
        );
        assert_eq!(idle(&Container::default(), &pod).unwrap(), "it has not started (its pod is Pending)");
        let ended = Container { started: Some(1), ..Container::default() };
        assert_eq!(idle(&ended, &pod).unwrap(), "it has ended");
        assert_eq!(idle(&Container { init: true, ..ended.clone() }, &pod), None);
        assert_eq!(idle(&Container { running: true, ..ended }, &pod), None);
    }
}
