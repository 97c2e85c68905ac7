//! Which command moves what takes a value, and which one only seems to. What is no command is a sentence.

use crate::model::{From, Namespace, Way};
use crate::takers::{Taker, Use};

/// How many pods are named at most, since it is said of each of their containers. A command that names only a part of them
/// would seem to move all.
const PODS_NAMED_MAX: usize = 8;

/// What happens to a file.
pub(crate) const FOLLOWS: &str = "it follows by itself within about two minutes";

/// Whether what is taken in this way keeps the value of the start.
pub(crate) fn never_follows(way: &Way) -> bool {
    match way {
        Way::Env(_) | Way::EnvFrom(_) | Way::SubPath(_) | Way::Argument => true,
        Way::File(_) | Way::Projected(_) | Way::Csi(_) | Way::PullImage => false,
    }
}

/// How a change of what is taken comes to the pods of a taker.
pub(crate) fn applies(namespace: &Namespace, taker: &Taker<'_>, one: &Use<'_>) -> String {
    if let Some(other) = put_elsewhere(namespace, taker, one) {
        return other;
    }
    let restart = restart(namespace, taker);
    match &one.taking.way {
        Way::File(_) | Way::Projected(_) => {
            format!("{FOLLOWS}; if the program does not read the file again: {restart}")
        }
        Way::PullImage => "the next pull of its image takes it".to_owned(),
        Way::Env(_) | Way::EnvFrom(_) | Way::SubPath(_) | Way::Argument | Way::Csi(_) => restart,
    }
}

/// What to do where the value cannot be changed at its place, or should not stand there.
fn put_elsewhere(namespace: &Namespace, taker: &Taker<'_>, one: &Use<'_>) -> Option<String> {
    let immutable = || namespace.history(&one.taking.from).is_some_and(|history| history.immutable);
    match &one.taking.from {
        From::Text(_) if taker.kind == "Pod" => {
            Some("make the pod again, with the value in a Secret".to_owned())
        }
        From::Text(_) => Some("change the template: put the value into a Secret".to_owned()),
        From::Secret { .. } if immutable() => {
            Some("make a new Secret, and name it in the template".to_owned())
        }
        From::Map { .. } if immutable() => {
            Some("make a new ConfigMap, and name it in the template".to_owned())
        }
        From::Secret { .. } | From::Map { .. } | From::Class(_) => None,
    }
}

/// How a container of a taker gets the value that a new pod would take. Unlike [`applies`], nothing is to be changed before.
pub(crate) fn renews(namespace: &Namespace, taker: &Taker<'_>, one: &Use<'_>, remade: bool) -> String {
    // The node may keep the former object of this name, and give it to a new pod, too.
    let kept = put_elsewhere(namespace, taker, one).filter(|_| remade);
    kept.unwrap_or_else(|| restart(namespace, taker))
}

/// What only seems to move the pods of a taker.
pub(crate) fn seems(namespace: &Namespace, taker: &Taker<'_>, one: &Use<'_>) -> Option<&'static str> {
    let has_pods = !taker.pods.is_empty() || !namespace.sees_pods();
    if !has_pods || !never_follows(&one.taking.way) || taker.kind == "CronJob" || taker.is_scaled_to_0() {
        return None;
    }
    let immutable = namespace.history(&one.taking.from).is_some_and(|history| history.immutable);
    match &one.taking.from {
        From::Secret { .. } if !immutable => {
            Some("kubectl apply of the Secret: the pods that run keep their value")
        }
        From::Map { .. } if !immutable => {
            Some("kubectl apply of the ConfigMap: the pods that run keep their value")
        }
        From::Text(_) if is_rolled_out(&taker.kind) => {
            Some("kubectl rollout restart: the new pods have the same text")
        }
        From::Secret { .. } | From::Map { .. } | From::Text(_) | From::Class(_) => None,
    }
}

/// Whether kubectl rolls out workloads of this kind.
fn is_rolled_out(kind: &str) -> bool {
    matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet")
}

/// The command that makes the pods of a taker anew; a sentence where there is none.
pub(crate) fn restart(namespace: &Namespace, taker: &Taker<'_>) -> String {
    let whose = &namespace.options;
    // The command is for a shell: a server that lies may name them as it likes.
    let mut names = taker.pods.iter().map(|pod| &pod.name).chain([&taker.kind, &taker.name]);
    if !names.all(|name| is_word(name)) {
        return "no command is shown: their names cannot be names of Kubernetes".to_owned();
    }
    let shown = taker.shown();
    match taker.kind.as_str() {
        "CronJob" => "the next job takes it".to_owned(),
        "Job" => "make the job again: its pods keep their value".to_owned(),
        "Pod" => "make the pod again: nothing does it for you".to_owned(),
        _ if taker.is_scaled_to_0() => "its next pod takes it".to_owned(),
        // A restart of a Deployment that is paused is refused.
        "Deployment" if taker.is_paused() => {
            format!("kubectl rollout resume {shown} {whose} && kubectl rollout restart {shown} {whose}")
        }
        kind if is_rolled_out(kind) => format!("kubectl rollout restart {shown} {whose}"),
        _ if !namespace.sees_pods() => "delete its pods: new ones take it".to_owned(),
        _ if taker.pods.is_empty() => "its next pod takes it".to_owned(),
        _ => {
            let named = taker.pods.iter().take(PODS_NAMED_MAX).map(|pod| pod.name.as_str());
            let named: Vec<&str> = named.collect();
            match taker.pods.len() - named.len() {
                0 => format!("kubectl delete pod {} {whose}", named.join(" ")),
                more => format!("delete its pods {} and {more} more: new ones take it", named.join(", ")),
            }
        }
    }
}

/// Whether it can be pasted into a shell.
pub(crate) fn is_command(text: &str) -> bool {
    text.starts_with("kubectl ")
}

/// Whether a shell takes it as one word that is no option.
pub(crate) fn is_word(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    !name.starts_with('-') && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use keyroll_secret::SecretBytes;

    use super::*;
    use crate::model::{MapSeen, Pod, SecretSeen, Taking, Unlisted, Workload};

    fn taking(from: From, way: Way) -> Taking {
        Taking { container: "app".to_owned(), init: false, from, way, optional: false, shadowed: false }
    }

    fn of_secret(name: &str) -> From {
        From::Secret { name: name.to_owned(), key: Some("k".to_owned()) }
    }

    fn of_map(name: &str) -> From {
        From::Map { name: name.to_owned(), key: Some("k".to_owned()) }
    }

    fn env() -> Way {
        Way::Env("X".to_owned())
    }

    fn namespace() -> Namespace {
        let fixed = SecretSeen { name: "fixed".to_owned(), immutable: true, ..SecretSeen::default() };
        let map = MapSeen { name: "fixed".to_owned(), immutable: true, ..MapSeen::default() };
        Namespace {
            name: "prod".to_owned(),
            options: "--context 'it'\\''s prod' -n prod".to_owned(),
            secrets: vec![fixed],
            config_maps: vec![map],
            ..Namespace::default()
        }
    }

    /// What applies a change and what only seems to, for a workload with one pod that takes this.
    fn of(workload: &Workload, from: From, way: Way) -> (String, Option<&'static str>) {
        let (pod, taking) = (Pod { name: "x-0".to_owned(), ..Pod::default() }, taking(from, way));
        let one = Use { taking: &taking, key: Some("k"), name: "X".to_owned() };
        let (kind, name) = (workload.kind.clone(), "x".to_owned());
        let pods = if workload.wanted == Some(0) { Vec::new() } else { vec![&pod] };
        let taker = Taker { at: 0, kind, name, workload: Some(workload), made: Vec::new(), pods };
        let namespace = namespace();
        (applies(&namespace, &taker, &one), seems(&namespace, &taker, &one))
    }

    fn workload(kind: &str) -> Workload {
        Workload { kind: kind.to_owned(), ..Workload::default() }
    }

    #[test]
    fn a_name_that_a_shell_would_read_otherwise_stands_in_no_command() {
        let of = |kind: &str, name: &str, pod: &str| {
            let pod = Pod { name: pod.to_owned(), ..Pod::default() };
            let (kind, name) = (kind.to_owned(), name.to_owned());
            let taker = Taker { at: 0, kind, name, workload: None, made: Vec::new(), pods: vec![&pod] };
            restart(&namespace(), &taker)
        };
        assert_eq!(
            of("CloneSet", "agent", "agent-0"),
            "kubectl delete pod agent-0 --context 'it'\\''s prod' -n prod"
        );
        for (kind, name, pod) in [
            ("Pod", "a; reboot", "a"),
            ("Deployment", "$(reboot)", "a"),
            ("CloneSet", "agent", "a\nreboot"),
            ("CloneSet; reboot", "agent", "a"),
            ("Pod", "--all", "a"),
        ] {
            assert!(!of(kind, name, pod).contains("kubectl"), "{kind} {name} {pod}");
        }
    }

    #[test]
    fn a_command_names_all_pods_or_is_none() {
        let of = |count: usize| {
            let named = |at: usize| Pod { name: format!("agent-{at}"), ..Pod::default() };
            let pods: Vec<Pod> = (0..count).map(named).collect();
            let (kind, name) = ("CloneSet".to_owned(), "agent".to_owned());
            let pods = pods.iter().collect();
            restart(&namespace(), &Taker { at: 0, kind, name, workload: None, made: Vec::new(), pods })
        };
        let first = of(8);
        assert!(is_command(&first) && first.contains(" agent-0 ") && first.contains(" agent-7 "), "{first}");
        let many = of(5_000);
        assert!(many.starts_with("delete its pods agent-0, ") && !is_command(&many), "{many}");
        assert!(many.ends_with("agent-7 and 4992 more: new ones take it"), "{many}");
    }

    #[test]
    fn the_command_that_moves_a_pod_depends_on_what_made_it() {
        let of = |workload: Workload| of(&workload, of_secret("x"), env());
        let seems = Some("kubectl apply of the Secret: the pods that run keep their value");
        let restart = "kubectl rollout restart deployment/x --context 'it'\\''s prod' -n prod";
        let resume = "kubectl rollout resume deployment/x --context 'it'\\''s prod' -n prod";
        assert_eq!(of(workload("Deployment")), (restart.to_owned(), seems));
        let paused = Workload { idle: true, wanted: Some(2), ..workload("Deployment") };
        assert_eq!(of(paused), (format!("{resume} && {restart}"), seems));
        let scaled = Workload { idle: true, wanted: Some(0), ..workload("Deployment") };
        assert_eq!(of(scaled), ("its next pod takes it".to_owned(), None));
        assert_eq!(of(workload("CronJob")), ("the next job takes it".to_owned(), None));
        assert_eq!(of(workload("Pod")), ("make the pod again: nothing does it for you".to_owned(), seems));
    }

    #[test]
    fn the_command_that_moves_a_pod_depends_on_where_the_value_is() {
        let of = |from: From, way: Way| of(&workload("Deployment"), from, way);
        let (applies, seems) = of(From::Text(SecretBytes::new(b"x".to_vec())), env());
        assert_eq!(applies, "change the template: put the value into a Secret");
        assert_eq!(seems, Some("kubectl rollout restart: the new pods have the same text"));
        let fixed = of(of_secret("fixed"), env());
        assert_eq!(fixed, ("make a new Secret, and name it in the template".to_owned(), None));
        let fixed = of(of_map("fixed"), env());
        assert_eq!(fixed, ("make a new ConfigMap, and name it in the template".to_owned(), None));
        let (applies, seems) = of(of_map("x"), env());
        assert!(applies.starts_with("kubectl rollout restart"), "{applies}");
        assert_eq!(seems, Some("kubectl apply of the ConfigMap: the pods that run keep their value"));
        let (applies, seems) = of(of_secret("x"), Way::File("/x".to_owned()));
        assert!(applies.starts_with(FOLLOWS) && seems.is_none(), "{applies}");
    }

    #[test]
    fn a_new_pod_has_another_value_unless_the_node_keeps_the_old_one() {
        let of = |from: From, remade: bool| {
            let (workload, taking) = (workload("Deployment"), taking(from, env()));
            let one = Use { taking: &taking, key: Some("k"), name: "X".to_owned() };
            let (kind, name) = (workload.kind.clone(), "x".to_owned());
            let taker =
                Taker { at: 0, kind, name, workload: Some(&workload), made: Vec::new(), pods: Vec::new() };
            renews(&namespace(), &taker, &one, remade)
        };
        assert!(is_command(&of(of_secret("x"), true)));
        assert!(is_command(&of(of_secret("fixed"), false)));
        assert_eq!(of(of_secret("fixed"), true), "make a new Secret, and name it in the template");
        assert!(is_command(&of(From::Text(SecretBytes::new(b"x".to_vec())), false)));
    }

    #[test]
    fn of_pods_that_are_not_visible_nothing_is_said_to_be_the_next_one() {
        let unlisted = vec![Unlisted { plural: "pods", in_part: false }];
        let namespace = Namespace { unlisted, ..namespace() };
        let of = |kind: &str| {
            let (kind, name) = (kind.to_owned(), "x".to_owned());
            let taker = Taker { at: 0, kind, name, workload: None, made: Vec::new(), pods: Vec::new() };
            restart(&namespace, &taker)
        };
        assert_eq!(of("CloneSet"), "delete its pods: new ones take it");
        assert!(is_command(&of("Deployment")));
    }
}
