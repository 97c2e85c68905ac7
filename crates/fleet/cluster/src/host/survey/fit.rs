//! Whether a rotation can work with the workloads and the Secrets as they are.

use keyroll_codes::Code;
use keyroll_config::WorkloadKind;
use keyroll_port::Failure;

use super::unfit;
use keyroll_kube::{Owner, controller, from_git};

use super::workload::Raw;
use crate::commands::never_follows;
use crate::host::ClusterHost;
use crate::host::seen::{Seen, is_of};
use crate::host::setup::{KeySetup, PodsSetup};
use crate::host::sync::is_never;
use crate::model::{Namespace, SecretSeen, Way};
use crate::owner::{writer, written_by};
use crate::takers::{Taker, Use, uses};

impl ClusterHost {
    /// Refuses what cannot work.
    pub(super) async fn refuse_unfit(&self, seen: &Seen) -> Result<(), Failure> {
        for key in &self.setup.keys {
            refuse_key(&seen.namespace, key)?;
        }
        for pods in &self.setup.consumers {
            let raw = self.workload(pods).await?;
            self.refuse_workload(seen, pods, raw.as_ref())?;
        }
        Ok(())
    }

    /// Refuses a workload that is not there, does not take the key, or makes no new pods.
    pub(super) fn refuse_workload(
        &self,
        seen: &Seen,
        pods: &PodsSetup,
        raw: Option<&Raw>,
    ) -> Result<(), Failure> {
        let takers = seen.takers();
        let what = || format!("move {} to a new value", pods.object());
        let refuse = |why: String, help: String| Err(unfit(Code::NotPlannable, what(), why).help(help));
        let Some(raw) = raw else {
            let why = format!("there is no {} in namespace {}", pods.object(), seen.namespace.name);
            return refuse(why, self.takes_instead(seen, &takers, pods));
        };
        if let Some(maker) = controller(&raw.metadata) {
            let (kind, name) = (&maker.kind, &maker.name);
            let why = format!("{kind}/{name} makes it, and may undo what is changed of it");
            return refuse(
                why,
                format!("name what stands above it in `runs`, or let {kind}/{name} rotate it"),
            );
        }
        let Some(taker) = takers.iter().find(|taker| is_of(taker, pods.kind, &pods.workload)) else {
            let why = format!("the list of what makes pods does not have it: {}", hidden(&seen.namespace));
            return refuse(
                why,
                "give the login the right to list it: keyroll hosts check names the rule".to_owned(),
            );
        };
        let own = self.own_uses(seen, taker, pods);
        if own.is_empty() {
            let whose = pods.container.as_ref().map(|name| format!("its container {name}"));
            let key = self.setup.key(pods.file).map(KeySetup::shown).unwrap_or_default();
            let why = format!("{} does not take {key}", whose.unwrap_or_else(|| "it".to_owned()));
            return refuse(why, self.takes_instead(seen, &takers, pods));
        }
        refuse_stuck(&seen.namespace, pods, raw)?;
        refuse_canary(pods, raw)?;
        refuse_deaf(pods, &own)?;
        let versioned = self.setup.key(pods.file).is_some_and(|key| key.versioned.is_some());
        match from_git(&raw.metadata, &taker.kind).filter(|_| versioned) {
            Some(owner) => refuse(
                format!(
                    "{} deploys it from git, and would undo the reference to each version",
                    writer(&owner)
                ),
                "leave out `versioned`, or change the reference in git with each version".to_owned(),
            ),
            None => Ok(()),
        }
    }

    /// How a workload takes the key of its consumer, in its template; a pod by itself has none.
    fn own_uses<'s>(&self, seen: &'s Seen, taker: &Taker<'s>, pods: &PodsSetup) -> Vec<Use<'s>> {
        let takes = match taker.workload {
            Some(workload) => workload.takes.as_slice(),
            None => taker.pods.first().map(|pod| &*pod.takes).unwrap_or_default(),
        };
        let is_own = |one: &Use<'_>| {
            let named = pods.container.as_ref().is_none_or(|name| *name == one.taking.container);
            let is_key = self.file_of(one, taker).is_some_and(|(file, _)| file == pods.file);
            named && is_key && !one.taking.shadowed && one.taking.way != Way::PullImage
        };
        uses(&seen.namespace, takes).into_iter().filter(is_own).collect()
    }

    /// What takes the key, where the configuration names something else.
    fn takes_instead(&self, seen: &Seen, takers: &[Taker<'_>], pods: &PodsSetup) -> String {
        let mut all: Vec<String> = Vec::new();
        for taker in takers {
            let takes = std::iter::once(taker.template()).chain(taker.pods.iter().map(|pod| &*pod.takes));
            for one in takes.flat_map(|takes| uses(&seen.namespace, takes)) {
                let named = format!("container {} of {}", one.taking.container, taker.shown());
                let is_key = self.file_of(&one, taker).is_some_and(|(file, _)| file == pods.file);
                if is_key && !all.contains(&named) {
                    all.push(named);
                }
            }
        }
        let key = self.setup.key(pods.file).map(KeySetup::shown).unwrap_or_default();
        match all.is_empty() {
            true => format!("correct `runs` and `reads`: nothing that was seen takes {key}"),
            false => format!("correct `runs` or `reads`: {key} is taken by {}", all.join(", ")),
        }
    }
}

/// Which kinds were not listed.
fn hidden(namespace: &Namespace) -> String {
    namespace.takers_hidden().unwrap_or_else(|| "it was made or deleted meanwhile".to_owned())
}

/// Refuses a workload that replaces no pods although its template changes.
fn refuse_stuck(namespace: &Namespace, pods: &PodsSetup, raw: &Raw) -> Result<(), Failure> {
    let (object, options) = (pods.object(), &namespace.options);
    let refuse = |why: &str, help: String| {
        Err(unfit(Code::NotPlannable, format!("move {object} to a new value"), why).help(help))
    };
    if pods.rereads || pods.is_job() {
        return Ok(());
    }
    if pods.kind == WorkloadKind::Pod {
        let why = "nothing makes the pod again, so it keeps the value that it was started with";
        return refuse(why, "let a Deployment run it; or, if its program reads the mounted file again, write `rereads = true`".to_owned());
    }
    if raw.spec.paused {
        return refuse(
            "it is paused, and rolls nothing out",
            format!("kubectl rollout resume {object} {options}"),
        );
    }
    if raw.spec.update_strategy.kind == "OnDelete" {
        let why = "its updateStrategy is OnDelete: it replaces no pod before somebody deletes it";
        return refuse(why, "set its updateStrategy to RollingUpdate".to_owned());
    }
    if raw.spec.update_strategy.rolling_update.partition > 0 {
        let why = "its updateStrategy has a partition: the pods below it are not replaced";
        return refuse(why, "set rollingUpdate.partition to 0".to_owned());
    }
    Ok(())
}

/// Refuses a canary where there can be no pod that is moved before the others.
fn refuse_canary(pods: &PodsSetup, raw: &Raw) -> Result<(), Failure> {
    if !pods.canary {
        return Ok(());
    }
    let replicas = raw.spec.replicas.unwrap_or(1);
    let is_set = pods.kind == WorkloadKind::StatefulSet;
    let why = if is_set && replicas < 2 {
        "it has less than two pods, so that there are no others beside the one that is moved first"
    } else if !is_set && raw.spec.strategy.kind == "Recreate" {
        "its strategy is Recreate: no pod may run beside another one, and the pod that is moved first would"
    } else if replicas < 1 {
        "it is scaled to 0: no pod may run"
    } else {
        return Ok(());
    };
    let what = format!("move one pod of {} before the others", pods.object());
    Err(unfit(Code::NotPlannable, what, why).help("leave out `canary`"))
}

/// Refuses `rereads` where what the container has never changes.
fn refuse_deaf(pods: &PodsSetup, own: &[Use<'_>]) -> Result<(), Failure> {
    let fixed = own.iter().find(|one| never_follows(&one.taking.way));
    let Some(one) = fixed.filter(|_| pods.rereads) else { return Ok(()) };
    let how = match &one.taking.way {
        Way::SubPath(_) => "a file by subPath",
        Way::Argument => "an argument",
        Way::Env(_) | Way::EnvFrom(_) => "a variable",
        Way::File(_) | Way::Projected(_) | Way::Csi(_) | Way::PullImage => "something that stays",
    };
    let why = format!(
        "its container {} takes {} as {how} ({}), which keeps the value of the start, whatever its program reads again",
        one.taking.container,
        one.object(),
        one.name
    );
    let help =
        "leave out `rereads`, so that its pods are replaced; or mount the Secret as a folder without subPath";
    Err(unfit(Code::NotPlannable, format!("move {} to a new value", pods.object()), why).help(help))
}

/// Refuses a Secret that keyroll cannot or may not change.
pub(super) fn refuse_key(namespace: &Namespace, key: &KeySetup) -> Result<(), Failure> {
    let what = || format!("deliver a new value to {}", key.shown());
    let refuse = |code: Code, why: String, help: String| Err(unfit(code, what(), why).help(help));
    let Some(secret) = namespace.secret(&key.secret) else {
        // Each version has a Secret of another name: what the template refers to is seen with its content.
        if key.versioned.is_some() {
            return Ok(());
        }
        let why = match namespace.hidden.contains(&key.secret) {
            true => "the login may not read the Secret".to_owned(),
            false => format!("there is no such Secret in namespace {}", namespace.name),
        };
        return refuse(
            Code::CopyDiffers,
            why,
            "correct `reads` in the configuration, or make the Secret".to_owned(),
        );
    };
    if key.own.is_some() {
        return Ok(());
    }
    if key.synced {
        return refuse_sync(namespace, key);
    }
    if key.versioned.is_some() {
        return Ok(());
    }
    if secret.immutable {
        let help = "write `versioned = true`: each version then gets a Secret of its own name".to_owned();
        return refuse(Code::FileNotReplaceable, "the Secret is immutable".to_owned(), help);
    }
    match written_by(namespace, secret, Some(&key.key)).or_else(|| to_come(namespace, secret)) {
        Some(why) => refuse(Code::FileNotReplaceable, why, elsewhere(namespace, secret)),
        None => Ok(()),
    }
}

/// An ExternalSecret that names the Secret as its target, and has not written it yet.
fn to_come(namespace: &Namespace, secret: &SecretSeen) -> Option<String> {
    let external = namespace.external.get(&secret.name)?;
    Some(format!("ExternalSecret/{} is to write it from {}", external.name, external.store))
}

/// What to do where another program writes the Secret.
fn elsewhere(namespace: &Namespace, secret: &SecretSeen) -> String {
    let external = namespace.external.get(&secret.name);
    let is_external = matches!(secret.owner, Some(Owner::ExternalSecrets(_))) || external.is_some();
    if !is_external {
        return "let keyroll have a Secret of its own: take it out of what writes it; or change the value there".to_owned();
    }
    let store = external.map(|external| format!(" ({})", external.store)).unwrap_or_default();
    format!(
        "write `synced = true`; `store` of the secret must be the store that External Secrets reads{store}, so that \
         what keyroll writes there comes into the Secret"
    )
}

/// Refuses `synced` where nothing brings what the store has.
fn refuse_sync(namespace: &Namespace, key: &KeySetup) -> Result<(), Failure> {
    let what = format!("deliver a new value to {}", key.shown());
    let Some(external) = namespace.external.get(&key.secret) else {
        let hidden = !namespace.is_listed("externalsecrets");
        let why = match hidden {
            true => "which ExternalSecret writes it is not visible",
            false => "no ExternalSecret writes it, so that nothing would bring what the store has",
        };
        let help = match hidden {
            true => "give the login the right to list externalsecrets",
            false => "leave out `synced`, or make an ExternalSecret whose target is this Secret",
        };
        return Err(unfit(Code::NotPlannable, what, why).help(help));
    };
    if is_never(external.refresh.as_deref()) {
        let why = format!(
            "ExternalSecret/{} has refreshInterval 0: it reads the store once and never again",
            external.name
        );
        return Err(unfit(Code::NotPlannable, what, why).help("set its refreshInterval, to 1h for example"));
    }
    Ok(())
}
