//! A simulated namespace: a controller that replaces pods step by step, the nodes, keyroll, and somebody else.
//!
//! The controller acts on a state of the workload that it read before, and says later what it counted. Source:
//! `rolloutRolling` and `syncDeploymentStatus` of
//! <https://github.com/kubernetes/kubernetes/tree/master/pkg/controller/deployment>, `completeRollingUpdate` of
//! <https://github.com/kubernetes/kubernetes/tree/master/pkg/controller/statefulset>, `rollingUpdate` of
//! <https://github.com/kubernetes/kubernetes/tree/master/pkg/controller/daemon>; pods that were asked to end are not counted.
//! A node gives a new pod what the Secret was at most [`CACHE_S`] before the pod was made, or later, and a container that is
//! started again anything since then. The clock of a node is off by at most [`CLOCK_S`].

mod shown;

use std::collections::BTreeMap;

use keyroll_config::WorkloadKind;
use keyroll_rotation::Incarnation;
use serde_json::{Value, json};

use super::evidence::life;
use crate::drawn_tests::Random;
use crate::fake_api::EPOCH;
use crate::model;
use crate::verdict::{CACHE_S, CLOCK_S};

/// The values: the old version, the new one, and one of somebody else.
pub(super) const OLD: usize = 0;
pub(super) const NEW: usize = 1;
const VALUES: usize = 3;

/// When the Secret and then the workload were made, and when a history begins, after [`EPOCH`].
const SECRET_MADE: i64 = 1_000;
const WORKLOAD_MADE: i64 = 1_500;
const BEGIN: i64 = 10_000;

/// A template: what begins a roll-out, and the version whose own Secret it names; `None`: it names `api`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Template {
    stamp: usize,
    value: Option<usize>,
}

/// A run of the container of a pod.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// By the clock of the server.
    pub(super) at: i64,
    restarts: i32,
    /// What the node gave it.
    pub(super) value: usize,
}

/// A pod that has not ended.
pub(super) struct Drawn {
    pub(super) uid: String,
    name: String,
    /// The number of its template.
    pub(super) template: usize,
    made: i64,
    /// How far the clock of its node is ahead.
    skew: i64,
    /// The content of the Secret that its node had at least.
    oldest: Option<usize>,
    pub(super) run: Option<Run>,
    pub(super) ready: bool,
    pub(super) ending: bool,
}

/// What a history is drawn with.
#[derive(Clone, Copy)]
pub(super) struct Drawing {
    pub(super) kind: WorkloadKind,
    pub(super) versioned: bool,
    /// keyroll waits for the caches of the nodes before it rolls out.
    pub(super) waits: bool,
    /// Nobody but keyroll changes anything.
    pub(super) quiet: bool,
}

/// What the controller read of the workload.
#[derive(Clone, Copy)]
struct Read {
    template: usize,
    replicas: usize,
    generation: i64,
}

pub(super) struct World {
    pub(super) drawing: Drawing,
    pub(super) random: Random,
    /// Seconds after [`EPOCH`].
    pub(super) now: i64,
    /// Nothing happens any more.
    pub(super) frozen: bool,
    values: [String; VALUES],
    /// What the Secret `api` held since when.
    contents: Vec<(i64, usize)>,
    /// When the own Secret of each version was made.
    versions: BTreeMap<usize, i64>,
    /// The version whose own Secret is noted for the next roll-out.
    noted: Option<usize>,
    templates: Vec<Template>,
    /// The number of the template that the workload has.
    pub(super) present: usize,
    generation: i64,
    pub(super) replicas: usize,
    read: Read,
    /// The ReplicaSet of each template: its number, and when it was made.
    sets: BTreeMap<usize, (i64, i64)>,
    pub(super) pods: Vec<Drawn>,
    /// How many pods were made.
    made: usize,
    /// What the controller said last.
    status: Value,
    /// The revision that the pods of a StatefulSet had when all were alike.
    current: usize,
    /// Each run that there was, and its value.
    pub(super) runs: BTreeMap<Incarnation, usize>,
    /// What keyroll did: 1: it has delivered; 2: it has rolled out; 3 and 4: the same with the old version.
    pub(super) stage: usize,
    delivered: i64,
}

impl World {
    pub(super) fn new(seed: u64, drawing: Drawing, values: [String; VALUES]) -> Self {
        let mut random = Random(seed);
        let replicas = 1 + random.below(3);
        let mut world = Self {
            drawing,
            random,
            now: WORKLOAD_MADE,
            frozen: false,
            values,
            contents: vec![(SECRET_MADE, OLD)],
            versions: BTreeMap::new(),
            noted: None,
            templates: vec![Template { stamp: 0, value: None }],
            present: 0,
            generation: 1,
            replicas,
            read: Read { template: 0, replicas, generation: 1 },
            sets: BTreeMap::new(),
            pods: Vec::new(),
            made: 0,
            status: json!({}),
            current: 0,
            runs: BTreeMap::new(),
            stage: 0,
            delivered: 0,
        };
        world.settle();
        world.now = BEGIN;
        world
    }

    /// Something happens.
    pub(super) fn step(&mut self) {
        if self.frozen {
            return;
        }
        self.now += [0, 0, 0, 1, 1, 2, 3, 5, 9, 10, 11, 31][self.random.below(12)];
        match self.random.below(18) {
            0 | 1 => self.read_workload(),
            2..=4 => self.make_pod(),
            5 | 6 => self.end_pod(),
            7 | 8 => self.report(),
            9..=12 => {
                let number = self.random.below(self.pods.len() + 1);
                self.node_acts(number);
            }
            13 | 14 => self.keyroll(),
            15 => self.restart(),
            _ if !self.drawing.quiet => self.somebody(),
            _ => {}
        }
    }

    /// What was begun comes to its end, and then nothing happens for a while.
    pub(super) fn finish(&mut self) {
        if self.drawing.quiet {
            if self.stage == 0 {
                self.deliver(NEW);
            }
            if self.stage == 1 {
                self.now = self.now.max(if self.drawing.waits { self.delivered + CACHE_S + 1 } else { 0 });
                self.roll_out();
            }
        }
        self.settle();
    }

    /// Somebody changes something else of the template, and every pod is replaced.
    pub(super) fn replace_pods(&mut self) {
        self.edit_template();
        self.settle();
    }

    fn settle(&mut self) {
        for _ in 0..60 {
            self.read_workload();
            self.make_pod();
            self.end_pod();
            for number in (0..self.pods.len()).rev() {
                self.node_acts(number);
            }
            self.report();
            self.now += 3;
        }
        self.now += 15;
        self.report();
    }

    fn is(&self, kind: WorkloadKind) -> bool {
        self.drawing.kind == kind
    }

    /// The number of the pods that were not asked to end.
    fn live(&self) -> usize {
        self.pods.iter().filter(|pod| !pod.ending).count()
    }

    fn read_workload(&mut self) {
        let (template, replicas, generation) = (self.present, self.replicas, self.generation);
        self.read = Read { template, replicas, generation };
    }

    /// The ReplicaSet of the template is there, and is the newest one.
    fn sync_set(&mut self) {
        let newest = self.sets.values().map(|(revision, _)| *revision).max().unwrap_or(0);
        let set = self.sets.entry(self.read.template).or_insert((0, self.now));
        if set.0 != newest || newest == 0 {
            set.0 = newest + 1;
        }
    }

    fn make_pod(&mut self) {
        self.sync_set();
        let Read { template, replicas, .. } = self.read;
        let new = self.pods.iter().filter(|pod| !pod.ending && pod.template == template).count();
        let may = match self.is(WorkloadKind::Deployment) {
            true => new < replicas && self.live() < replicas + 1,
            false => self.pods.len() < replicas,
        };
        if !may {
            return;
        }
        self.made += 1;
        let name = match self.is(WorkloadKind::StatefulSet) {
            true => {
                let is_free = |at: &usize| !self.pods.iter().any(|pod| pod.name == format!("agent-{at}"));
                format!("agent-{}", (0..).find(is_free).unwrap())
            }
            false => format!("agent-{:05}", self.made),
        };
        self.pods.push(Drawn {
            uid: format!("uid-{}", self.made),
            name,
            template,
            made: self.now,
            skew: self.random.seconds(2 * CLOCK_S + 1) - CLOCK_S,
            oldest: None,
            run: None,
            ready: false,
            ending: false,
        });
    }

    fn end_pod(&mut self) {
        let Read { template, replicas, .. } = self.read;
        let (live, all_ready) = (self.live(), self.pods.iter().all(|pod| !pod.ending && pod.ready));
        let old = self.pods.iter().position(|pod| !pod.ending && pod.template != template);
        let early = self.random.one_in(6);
        let may_end_old = match self.is(WorkloadKind::Deployment) {
            true => live > replicas || (live > 1 && early),
            false => all_ready || live > replicas || early,
        };
        let surplus = self.pods.iter().rposition(|pod| !pod.ending).filter(|_| live > replicas);
        if let Some(number) = old.filter(|_| may_end_old).or(surplus) {
            self.pods[number].ending = true;
        }
    }

    /// The controller says what it counts.
    fn report(&mut self) {
        self.sync_set();
        let Read { template, generation, replicas } = self.read;
        let count =
            |is_it: &dyn Fn(&Drawn) -> bool| self.pods.iter().filter(|pod| !pod.ending && is_it(pod)).count();
        let (all, updated) = (count(&|_| true), count(&|pod| pod.template == template));
        let ready = count(&|pod| pod.ready);
        if all == updated && ready == all {
            self.current = template;
        }
        let hash = |template: usize| format!("h{template}");
        self.status = match self.is(WorkloadKind::DaemonSet) {
            true => json!({
                "observedGeneration": generation, "desiredNumberScheduled": replicas, "currentNumberScheduled": all,
                "updatedNumberScheduled": updated, "numberReady": ready, "numberAvailable": ready,
            }),
            false => json!({
                "observedGeneration": generation, "replicas": all, "updatedReplicas": updated,
                "readyReplicas": ready, "availableReplicas": ready,
                "updateRevision": hash(template), "currentRevision": hash(self.current),
            }),
        };
    }

    /// The node of a pod goes on.
    fn node_acts(&mut self, number: usize) {
        let now = self.now;
        let Some(pod) = self.pods.get_mut(number) else { return };
        match (pod.ending, pod.run) {
            (true, _) => _ = self.pods.remove(number),
            (false, None) if now >= pod.made + 2 => self.start(number),
            (false, None) => {}
            (false, Some(_)) => pod.ready = true,
        }
    }

    /// A container ends and is started again.
    fn restart(&mut self) {
        let number = self.random.below(self.pods.len() + 1);
        if self.pods.get(number).is_some_and(|pod| pod.run.is_some()) {
            self.start(number);
            self.pods[number].ready &= self.random.one_in(2);
        }
    }

    fn start(&mut self, number: usize) {
        let value = self.given(number);
        let (at, pod) = (self.now, &mut self.pods[number]);
        let restarts = pod.run.map_or(0, |run| run.restarts + 1);
        pod.run = Some(Run { at, restarts, value });
        let container = model::Container {
            name: "app".to_owned(),
            started: Some(EPOCH + at + pod.skew),
            restarts,
            ..model::Container::default()
        };
        let who = life(&model::Pod { uid: pod.uid.clone(), ..model::Pod::default() }, &container);
        self.runs.insert(who, value);
    }

    /// What a node gives a container.
    fn given(&mut self, number: usize) -> usize {
        let (pod, random, contents) = (&mut self.pods[number], &mut self.random, &self.contents);
        if let Some(value) = self.templates[pod.template].value {
            return value;
        }
        let behind = match random.below(3) {
            0 => 0,
            1 => CACHE_S,
            _ => random.seconds(CACHE_S + 1),
        };
        let oldest = *pod.oldest.get_or_insert_with(|| {
            contents.iter().skip(1).take_while(|(at, _)| *at < pod.made - behind).count()
        });
        let given = match random.below(3) {
            0 => oldest,
            1 => contents.len() - 1,
            _ => oldest + random.below(contents.len() - oldest),
        };
        contents[given].1
    }

    fn set_template(&mut self, template: Template) {
        let known = self.templates.iter().position(|one| *one == template);
        let number = known.unwrap_or(self.templates.len());
        if known.is_none() {
            self.templates.push(template);
        }
        if number != self.present {
            self.present = number;
            self.generation += 1;
        }
    }

    /// A value is put where a new pod takes it.
    fn put(&mut self, value: usize) {
        if self.drawing.versioned {
            self.versions.entry(value).or_insert(self.now);
            let now = self.templates[self.present];
            self.set_template(Template { value: Some(value), ..now });
        } else if self.contents[self.contents.len() - 1].1 != value {
            self.contents.push((self.now, value));
        }
    }

    /// A version gets its own Secret, which is noted for the next roll-out.
    fn note(&mut self, value: usize) {
        let present = self.templates[self.present].value;
        if self.noted.or(present).unwrap_or(OLD) != value {
            self.versions.entry(value).or_insert(self.now);
            self.noted = (present != Some(value)).then_some(value);
        }
    }

    fn deliver(&mut self, value: usize) {
        match self.drawing.versioned {
            true => self.note(value),
            false => self.put(value),
        }
        self.delivered = self.now;
        self.stage += 1;
    }

    /// The template gets another stamp, and the name of the Secret that was noted.
    fn roll_out(&mut self) {
        let value = self.noted.take().or(self.templates[self.present].value);
        self.set_template(Template { stamp: self.templates.len(), value });
        self.stage += 1;
    }

    fn edit_template(&mut self) {
        let now = self.templates[self.present];
        self.set_template(Template { stamp: self.templates.len(), ..now });
    }

    fn keyroll(&mut self) {
        let may = !self.drawing.waits || self.now > self.delivered + CACHE_S;
        match self.stage {
            0 => self.deliver(NEW),
            1 | 3 if may => self.roll_out(),
            2 if !self.drawing.quiet && self.random.one_in(4) => self.deliver(OLD),
            _ => {}
        }
    }

    fn somebody(&mut self) {
        match self.random.below(6) {
            0 => {
                let replicas = self.random.below(4);
                // That of a DaemonSet is the number of its nodes.
                if replicas != self.replicas && !self.is(WorkloadKind::DaemonSet) {
                    self.generation += 1;
                }
                self.replicas = replicas;
            }
            1 => self.edit_template(),
            2 => {
                let earlier = self.templates[self.random.below(self.templates.len())];
                self.set_template(earlier);
                // That brings back earlier annotations of the workload, too.
                self.noted = self.versions.keys().copied().find(|_| self.random.one_in(2));
            }
            3 => {
                let value = self.random.below(VALUES);
                self.put(value);
            }
            _ => {
                let number = self.random.below(self.pods.len() + 1);
                if let Some(pod) = self.pods.get_mut(number) {
                    pod.ending = true;
                }
            }
        }
    }
}
