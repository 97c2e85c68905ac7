//! A consumer in a Kubernetes cluster.

use std::fmt;
use std::ops::Range;

use crate::at::At;
use crate::kube_names::{NAME_BYTES_MAX, is_key, is_label, is_name};
use crate::mistake::Mistake;
use crate::reads_shape::ReadsShape;
use crate::runs_shape::RunsShape;
use crate::shape::{ConsumerShape, ReadShape};
use crate::{Kind, Name, WorkloadKind};

/// The key of `runs` that names a container of the pods.
const CONTAINER: &str = "container";

const FORM_HELP: &str = "a consumer in a cluster has `runs = { deployment = \"NAME\" }` (or `statefulset`, `daemonset`, `cronjob`, `job`, \
                         `pod`; `container` may stand beside it) and `reads = { secret = \"NAME\", key = \"KEY\" }`";

/// The pods of one workload in a namespace of a cluster, which take a key of a Secret. This version shows them, and moves
/// none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConsumer {
    /// Its name, unique within the secret.
    pub name: Name,
    /// The cluster, as the file names it.
    pub host: Name,
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
}

/// `agent (deployment agent in prod)`.
impl fmt::Display for ClusterConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.name)?;
        if let Some(container) = &self.container {
            write!(f, "container {container} of ")?;
        }
        write!(f, "{} {} in {})", self.kind.word(), self.workload, self.host)
    }
}

impl ClusterConsumer {
    /// The consumer of a table whose `host` is a cluster.
    pub(crate) fn build(shape: &At<ConsumerShape>, host: &Name) -> Result<Self, Mistake> {
        let At { value: shape, span } = shape;
        let name = Name::read("a consumer", &shape.name)?;
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
        let (secret, key) = read_key(reads, host)?;
        Ok(Self {
            name,
            host: host.clone(),
            kind,
            workload,
            container: container.transpose()?,
            secret,
            key,
            versioned: shape.versioned.as_ref().is_some_and(|versioned| versioned.value),
        })
    }
}

/// Refuses the keys of a consumer in a cluster for a consumer on machines.
pub(crate) fn refuse_cluster_keys(shape: &ConsumerShape) -> Result<(), Mistake> {
    let runs = shape.runs.iter().flat_map(|runs| &runs.value.0);
    let runs =
        runs.filter(|(key, _)| WorkloadKind::of(key).is_some()).map(|(key, value)| (*key, &value.span));
    let copies = match shape.reads.as_ref().map(|reads| &reads.value) {
        Some(ReadsShape::Copies(copies)) => copies.as_slice(),
        Some(ReadsShape::Word(_)) | None => &[],
    };
    let reads = copies.iter().flat_map(|copy| [("secret", &copy.secret), ("key", &copy.key)]);
    let reads = reads.filter_map(|(key, text)| Some((key, &text.as_ref()?.span)));
    let versioned = shape.versioned.iter().map(|versioned| ("versioned", &versioned.span));
    match runs.chain(reads).chain(versioned).next() {
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
        ("trusts", shape.trusts.as_ref().map(|it| &it.span)),
        ("fetch", shape.fetch.as_ref().map(|it| &it.span)),
        ("log", shape.log.as_ref().map(|it| &it.span)),
        ("check", shape.check.as_ref().map(|it| &it.span)),
        ("paths", shape.paths.first().map(|it| &it.name.span)),
        ("wave", shape.wave.as_ref().map(|it| &it.span)),
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
    let is_stray = |key: &str| key != CONTAINER && WorkloadKind::of(key).is_none();
    if let Some((key, value)) = table.0.iter().find(|(key, _)| is_stray(key)) {
        return Err(for_machines(key, host, &value.span));
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

/// The Secret and the key in it.
fn read_key(reads: &At<ReadsShape<ReadShape>>, host: &Name) -> Result<(String, String), Mistake> {
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
    Ok((read_text(secret, is_name, &of_secret)?, read_text(key, is_key, &of_key)?))
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
        ("field", &copy.field),
        ("derived", &copy.derived),
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
