//! A consumer in a Kubernetes cluster.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use crate::at::At;
use crate::kube_names::{LABEL_BYTES_MAX, NAME_BYTES_MAX, is_key, is_label, is_name};
use crate::mistake::Mistake;
use crate::reads_shape::ReadsShape;
use crate::runs_shape::{RunsShape, RunsValue};
use crate::shape::{CheckShape, ConsumerShape, ReadShape};
use crate::{Argv, Kind, Name, Place, WorkloadKind};

/// The key of `runs` that names a container of the pods.
const CONTAINER: &str = "container";
/// The key of `runs` that says that the program reads the mounted file again by itself.
const REREADS: &str = "rereads";
/// The key of `runs` that says that one pod is moved before the others.
const CANARY: &str = "canary";

const FORM_HELP: &str = "a consumer in a cluster has `runs = { deployment = \"NAME\" }` (or `statefulset`, `daemonset`, `cronjob`, `job`, \
                         `pod`; `container`, `rereads` and `canary` may stand beside it) and `reads = { secret = \"NAME\", key = \"KEY\" }`";

const CHECK_HELP: &str = "write `check = { exec = [\"/PROGRAM\", \"ARGUMENT\"] }`: keyroll runs it in a pod of its own, which has the image, \
                          the environment and the files of the consumer's container";

/// The pods of one workload in a namespace of a cluster, which take a key of a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InCluster {
    /// What runs its pods.
    pub kind: WorkloadKind,
    /// The name of the workload.
    pub workload: String,
    /// The container of the pods that takes the value; none: any.
    pub container: Option<String>,
    /// The name of the Secret that the value is in.
    pub secret: String,
    /// The key in the Secret.
    pub key: String,
    /// Whether each version of the value gets a Secret of its own name.
    pub versioned: bool,
    /// Whether External Secrets writes the Secret from the store; keyroll never does then.
    pub synced: bool,
    /// Whether the program reads the mounted file again by itself, so that no pod is replaced.
    pub rereads: bool,
    /// Whether one pod is moved before the others.
    pub canary: bool,
}

/// `container app of deployment agent`.
impl fmt::Display for InCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(container) = &self.container {
            write!(f, "container {container} of ")?;
        }
        write!(f, "{} {}", self.kind.word(), self.workload)
    }
}

impl InCluster {
    /// The workload in the words of kubectl: `deployment/agent`.
    pub fn object(&self) -> String {
        format!("{}/{}", self.kind.word(), self.workload)
    }

    /// Whether its next run takes the value, and nothing is replaced.
    pub fn is_job(&self) -> bool {
        matches!(self.kind, WorkloadKind::CronJob | WorkloadKind::Job)
    }

    /// The place of its copy. Where each version has a Secret of its own name, the place is what the template of the workload
    /// refers to, so each workload has its own.
    pub(crate) fn place(&self) -> Place {
        let Self { secret, key, .. } = self;
        let of = if self.versioned { format!("{}/", self.object()) } else { String::new() };
        let path = PathBuf::from(format!("{of}secret/{secret}/{key}"));
        Place::Key { path, secret: secret.clone(), key: key.clone() }
    }

    /// What a table whose `host` is a cluster says of the pods; with it the table of the copy, whose `field` or `derived` is
    /// not read yet.
    pub(crate) fn read<'s>(
        shape: &'s At<ConsumerShape>,
        host: &Name,
    ) -> Result<(Self, &'s At<RunsShape>, &'s ReadShape), Mistake> {
        let At { value: shape, span } = shape;
        if let Some((key, at)) = of_machines(shape) {
            return Err(for_machines(key, host, at));
        }
        let missing = |key: &str| {
            Mistake::new(Kind::WrongForm, format!("the key `{key}` is missing")).at(span).help(FORM_HELP)
        };
        let runs = shape.runs.as_ref().ok_or_else(|| missing("runs"))?;
        let reads = shape.reads.as_ref().ok_or_else(|| missing("reads"))?;
        let (kind, workload) = read_workload(runs, host)?;
        let container = runs.value.text(CONTAINER);
        let container = container.map(|text| {
            let why = "`container` must be the name of a container: 1 to 63 of a-z 0-9 -";
            read_text(&text, is_label, why)
        });
        let (copy, secret, key) = read_key(reads, host)?;
        let is_set = |flag: Option<&At<bool>>| flag.is_some_and(|flag| flag.value);
        let read = Self {
            kind,
            workload,
            container: container.transpose()?,
            secret,
            key,
            versioned: is_set(shape.versioned.as_ref()),
            synced: is_set(shape.synced.as_ref()),
            rereads: runs.value.0.contains_key(REREADS),
            canary: runs.value.0.contains_key(CANARY),
        };
        read.refuse_unfit(shape, runs)?;
        read.refuse_unfit_canary(runs)?;
        Ok((read, runs, copy))
    }

    /// Refuses keys that do not go together.
    fn refuse_unfit(&self, shape: &ConsumerShape, runs: &At<RunsShape>) -> Result<(), Mistake> {
        let refuse = |why: &str, at: &Range<usize>, help: &str| {
            Err(Mistake::new(Kind::BadCombination, why).at(at).help(help))
        };
        let at = |key: &str| runs.value.0.get(key).map_or(&runs.span, |value| &value.span);
        let versioned_at = shape.versioned.as_ref().map_or(&runs.span, |flag| &flag.span);
        let (pod, job) = (self.kind == WorkloadKind::Pod, self.kind == WorkloadKind::Job);
        if self.rereads && self.is_job() {
            let why = "`rereads` does not go with `cronjob` and `job`: their next run starts with the new value anyway";
            return refuse(why, at(REREADS), "leave out `rereads`");
        }
        if self.rereads && self.versioned {
            let why = "`rereads` does not go with `versioned`: a Secret of another name needs new pods";
            return refuse(why, at(REREADS), "keep one of both");
        }
        if self.synced && self.versioned {
            let why = "`synced` does not go with `versioned`: External Secrets writes the one Secret that it is made for";
            return refuse(why, versioned_at, "keep one of both");
        }
        if self.versioned && job {
            let why = "`versioned` does not go with `job`: the template of a Job cannot be changed";
            return refuse(why, versioned_at, "leave out `versioned`");
        }
        // The name becomes that of an annotation. Source:
        // <https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/#syntax-and-character-set>.
        if self.versioned && self.secret.len() > LABEL_BYTES_MAX {
            let why = "`versioned` does not go with a Secret of such a long name: keyroll notes its versions in an annotation of \
                       the workload, of which the name has at most 63 characters";
            return refuse(why, versioned_at, "leave out `versioned`, or use a Secret of a shorter name");
        }
        if pod && !self.rereads {
            let why = "`pod` names a pod that nothing replaces, so that it keeps the value that it has";
            let help = "let a Deployment run it: `runs = { deployment = \"NAME\" }`; or, if the program reads the mounted file \
                        again by itself, write `rereads = true` beside `pod`";
            return refuse(why, at(WorkloadKind::Pod.word()), help);
        }
        Ok(())
    }

    /// Refuses a canary where no pod can be moved before the others.
    fn refuse_unfit_canary(&self, runs: &At<RunsShape>) -> Result<(), Mistake> {
        let Some(at) = runs.value.0.get(CANARY).map(|value| &value.span) else { return Ok(()) };
        let word = self.kind.word();
        let (why, help) = match self.kind {
            WorkloadKind::Deployment | WorkloadKind::StatefulSet if self.rereads => (
                "`canary` does not go with `rereads`: every pod reads the same Secret, and none is replaced".to_owned(),
                "keep one of both",
            ),
            WorkloadKind::Deployment | WorkloadKind::StatefulSet if self.versioned => (
                "`canary` does not go with `versioned`: the template names the version, so that every new pod has it".to_owned(),
                "keep one of both",
            ),
            WorkloadKind::Deployment | WorkloadKind::StatefulSet => return Ok(()),
            WorkloadKind::DaemonSet | WorkloadKind::CronJob | WorkloadKind::Job | WorkloadKind::Pod => (
                format!("`canary` does not go with `{word}`: only a `deployment` and a `statefulset` can have one pod moved first"),
                "leave out `canary`",
            ),
        };
        Err(Mistake::new(Kind::BadCombination, why).at(at).help(help))
    }
}

/// The command of a check in a pod. A path is one in the container, so it stays as it is written.
pub(crate) fn read_command(shape: &At<CheckShape>) -> Result<Argv, Mistake> {
    let At { value: check, span } = shape;
    let others = [
        ("http", check.http.as_ref().map(|it| &it.span)),
        ("litellm", check.litellm.as_ref().map(|it| &it.span)),
        ("config", check.config.as_ref().map(|it| &it.span)),
        ("key", check.key.as_ref().map(|it| &it.span)),
        ("model", check.model.as_ref().map(|it| &it.span)),
        ("turn", check.turn.as_ref().map(|it| &it.span)),
        ("agent", check.agent.as_ref().map(|it| &it.span)),
    ];
    if let Some((key, at)) = others.into_iter().find_map(|(key, at)| Some((key, at?))) {
        let why = format!(
            "`check.{key}` is for a consumer on a machine: in a cluster a check is a command, `exec`"
        );
        return Err(Mistake::new(Kind::BadCombination, why).at(at).help(CHECK_HELP));
    }
    let Some(words) = &check.exec else {
        return Err(Mistake::new(Kind::BadCombination, "`check` needs `exec`").at(span).help(CHECK_HELP));
    };
    if let Some(word) = words.value.iter().find(|word| word.value == "{copy}") {
        let why = "`check.exec`: `{copy}` has no meaning in a cluster: the command runs in a pod that has the value where the \
                   consumer has it";
        return Err(Mistake::new(Kind::BadPlaceholder, why).at(&word.span).help(
            "leave it out; keyroll also runs the command in a pod with a wrong value, and it must fail there",
        ));
    }
    Argv::as_written("check.exec", words)
}

/// Refuses the keys of a consumer in a cluster for a consumer on machines.
pub(crate) fn refuse_cluster_keys(shape: &ConsumerShape) -> Result<(), Mistake> {
    let runs = shape.runs.iter().flat_map(|runs| &runs.value.0);
    let is_of_cluster = |key: &str| key == CANARY || WorkloadKind::of(key).is_some();
    let runs = runs.filter(|(key, _)| is_of_cluster(key)).map(|(key, value)| (*key, &value.span));
    let copies = match shape.reads.as_ref().map(|reads| &reads.value) {
        Some(ReadsShape::Copies(copies)) => copies.as_slice(),
        Some(ReadsShape::Word(_)) | None => &[],
    };
    let reads = copies.iter().flat_map(|copy| [("secret", &copy.secret), ("key", &copy.key)]);
    let reads = reads.filter_map(|(key, text)| Some((key, &text.as_ref()?.span)));
    let flags = [("versioned", &shape.versioned), ("synced", &shape.synced)];
    let flags = flags.into_iter().filter_map(|(key, flag)| Some((key, &flag.as_ref()?.span)));
    match runs.chain(reads).chain(flags).next() {
        None => Ok(()),
        Some((key, at)) => {
            let why = format!("`{key}` is for a consumer in a cluster, and this one is on a machine");
            Err(Mistake::new(Kind::BadCombination, why).at(at).help(
                "write the cluster as `host = \"NAME\"`, with `connect = \"kube://CONTEXT/NAMESPACE\"` under [hosts.NAME]; or, on a \
                 machine, `runs = { unit = \"NAME.service\" }` and `reads = { file = \"./PATH\" }`",
            ))
        }
    }
}

/// The first key of a consumer that only one on machines has.
fn of_machines(shape: &ConsumerShape) -> Option<(&'static str, &Range<usize>)> {
    let all = [
        ("serves", shape.serves.as_ref().map(|it| &it.span)),
        ("fetch", shape.fetch.as_ref().map(|it| &it.span)),
        ("log", shape.log.as_ref().map(|it| &it.span)),
    ];
    all.into_iter().find_map(|(key, at)| Some((key, at?)))
}

/// The mistake of a key of a machine's consumer.
fn for_machines(key: &str, host: &Name, at: &Range<usize>) -> Mistake {
    let why = format!("`{key}` is for a consumer on a machine, and `{host}` is a cluster");
    Mistake::new(Kind::BadCombination, why).at(at).help(FORM_HELP)
}

/// What runs its pods.
fn read_workload(runs: &At<RunsShape>, host: &Name) -> Result<(WorkloadKind, String), Mistake> {
    let table = &runs.value;
    let beside = [CONTAINER, REREADS, CANARY];
    let is_stray = |key: &str| !beside.contains(&key) && WorkloadKind::of(key).is_none();
    if let Some((key, value)) = table.0.iter().find(|(key, _)| is_stray(key)) {
        return Err(for_machines(key, host, &value.span));
    }
    for flag in [REREADS, CANARY] {
        if let Some(value) = table.0.get(flag).filter(|value| value.value == RunsValue::Flag(false)) {
            let why = format!("`{flag}` is true or is left out");
            return Err(Mistake::new(Kind::BadCombination, why).at(&value.span).help(FORM_HELP));
        }
    }
    let named = WorkloadKind::ALL.into_iter().filter_map(|kind| Some((kind, table.text(kind.word())?)));
    let named: Vec<(WorkloadKind, At<String>)> = named.collect();
    let [(kind, text)] = named.as_slice() else {
        let all: Vec<String> = WorkloadKind::ALL.iter().map(|kind| format!("`{}`", kind.word())).collect();
        let why = format!("`runs` of a consumer in a cluster needs exactly one of {}", all.join(", "));
        return Err(Mistake::new(Kind::BadCombination, why).at(&runs.span).help(FORM_HELP));
    };
    let why = format!("`{}` {NAME_FORM}", kind.word());
    Ok((*kind, read_text(text, is_name, &why)?))
}

/// The table of the copy, the Secret and the key in it.
fn read_key<'s>(
    reads: &'s At<ReadsShape<ReadShape>>,
    host: &Name,
) -> Result<(&'s ReadShape, String, String), Mistake> {
    let refuse = |why: &str| Mistake::new(Kind::BadCombination, why).at(&reads.span).help(FORM_HELP);
    let ReadsShape::Copies(all) = &reads.value else {
        return Err(refuse("`reads` of a consumer in a cluster names the key of a Secret"));
    };
    let [one] = all.as_slice() else {
        return Err(refuse("`reads` of a consumer in a cluster names one key of one Secret"));
    };
    if let Some((key, at)) = of_files(one) {
        return Err(for_machines(key, host, at));
    }
    let (Some(secret), Some(key)) = (&one.secret, &one.key) else {
        return Err(refuse("`reads` of a consumer in a cluster needs `secret` and `key`"));
    };
    let of_secret = format!("`secret` {NAME_FORM}");
    let of_key = format!("`key` must be a key of a Secret: 1 to {NAME_BYTES_MAX} of a-z A-Z 0-9 - . _");
    Ok((one, read_text(secret, is_name, &of_secret)?, read_text(key, is_key, &of_key)?))
}

/// The first key of a copy in a file.
fn of_files(copy: &ReadShape) -> Option<(&'static str, &Range<usize>)> {
    let texts = [
        ("env_file", &copy.env_file),
        ("variable", &copy.variable),
        ("file", &copy.file),
        ("format", &copy.format),
        ("at", &copy.at),
        ("part", &copy.part),
        ("template", &copy.template),
        ("write", &copy.write),
    ];
    let texts = texts.into_iter().filter_map(|(key, text)| Some((key, &text.as_ref()?.span)));
    texts.chain(copy.generated.iter().map(|words| ("generated", &words.span))).next()
}

/// What the API of a cluster takes for a name.
const NAME_FORM: &str =
    "must be a name in the cluster: 1 to 253 of a-z 0-9 - ., and begin and end with a letter or digit";

/// A text of a form. The error does not repeat the text, which may be a value by mistake.
fn read_text(text: &At<String>, fits: fn(&str) -> bool, why: &str) -> Result<String, Mistake> {
    match fits(&text.value) {
        true => Ok(text.value.clone()),
        false => Err(Mistake::new(Kind::BadName, why).at(&text.span)),
    }
}
