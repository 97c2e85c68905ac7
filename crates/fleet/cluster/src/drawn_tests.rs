//! Every verdict about drawn histories is compared with what a model of the cluster gave to the container.
//!
//! The API server of the model keeps `managedFields` as the real one does (1.33: `merge/update.go` of structured-merge-diff,
//! `managedfieldsupdater.go`, `capmanagers.go`). Its kubelets give a new pod what the Secret was at most [`CACHE_S`] before
//! the pod was made, or later; a container that is started again anything since then; and what was immutable as long as a
//! pod on the node takes the Secret. The clocks of nodes are off by at most [`CLOCK_S`]. Taken for granted: a Secret that is
//! made anew is immutable if the one before was; and where the pods and what made them are made anew, too, the kubelets
//! have dropped the Secret with the last of its pods.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::look::remade;
use crate::model::{Container, From, Namespace, Pod, Taking, Way, Workload};
use crate::objects;
use crate::verdict::{CACHE_S, CLOCK_S, Source, judged};

/// 2026-01-01T00:00:00Z.
const EPOCH: i64 = 1_767_225_600;
/// When a history begins, after [`EPOCH`].
const BEGIN: i64 = 3600;
const HISTORIES: u64 = 20_000;

const LABELS: [&str; 12] = ["l0", "l1", "l2", "l3", "l4", "l5", "l6", "l7", "l8", "l9", "l10", "l11"];
const MANAGERS: [&str; 14] =
    ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9", "m10", "m11", "m12", "m13"];
const APPLIERS: [&str; 2] = ["p0", "p1"];
const ANCIENT: &str = "ancient-changes";
/// Base64 of the values.
const VALUES: [&str; 4] = ["MA==", "MQ==", "Mg==", "Mw=="];
/// How a container takes the key: the ordinary ways, then a file, then a variable of a container that initialises.
const FILE: usize = 4;
const INIT: usize = 5;

/// Numbers from a seed (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(end).unwrap()).unwrap()
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn seconds(&mut self, end: i64) -> i64 {
        i64::try_from(self.below(usize::try_from(end).unwrap())).unwrap()
    }
}

/// The fields of the Secret: its keys `a` and `b`, labels, `type`, `immutable`, and `data` for the map of the keys itself.
type Fields = BTreeMap<&'static str, usize>;
type Names = BTreeSet<&'static str>;
/// A manager, and whether it applies.
type Writer = (&'static str, bool);

/// What the key `a` had from a write on; `None`: it, or the Secret, was not there.
struct State {
    at: i64,
    value: Option<usize>,
    immutable: bool,
}

#[derive(Default)]
struct Server {
    /// Empty if the Secret is not there.
    fields: Fields,
    created: i64,
    /// Its first state.
    born: usize,
    entries: BTreeMap<Writer, (Names, Option<i64>)>,
    /// Each change of a field of this Secret.
    writes: Vec<(i64, &'static str, &'static str)>,
    states: Vec<State>,
}

impl Server {
    fn changed(&self, new: &Fields) -> Names {
        new.iter()
            .filter(|(name, value)| self.fields.get(*name) != Some(*value))
            .map(|(name, _)| *name)
            .collect()
    }

    fn commit(&mut self, now: i64, by: &'static str, new: Fields) {
        let changed = self.changed(&new);
        self.writes.extend(changed.into_iter().map(|name| (now, by, name)));
        let immutable = new.contains_key("immutable");
        self.states.push(State { at: now, value: new.get("a").copied(), immutable });
        self.fields = new;
    }

    fn make(&mut self, now: i64, by: &'static str, fields: Fields, apply: bool) {
        self.writes.clear();
        self.fields.clear();
        (self.created, self.born) = (now, self.states.len());
        let own = fields.keys().copied().filter(|name| !(apply && *name == "data")).collect();
        self.entries = BTreeMap::from([((by, apply), (own, Some(now)))]);
        self.commit(now, by, fields);
    }

    fn delete(&mut self, now: i64) {
        self.fields.clear();
        self.states.push(State { at: now, value: None, immutable: false });
    }

    fn refuses(&self, new: &Fields) -> bool {
        let fixed = |name: &&str| self.fields.get(*name) != new.get(*name);
        self.fields.contains_key("immutable") && ["immutable", "a", "b"].iter().any(fixed)
    }

    /// All writers but this one lose what another one changed or removed.
    fn lose(&mut self, but: Option<Writer>, new: &Fields) {
        let changed = self.changed(new);
        let keeps = |name: &&'static str| new.contains_key(name) && !changed.contains(name);
        self.entries.retain(|writer, (own, _)| {
            if Some(*writer) != but {
                own.retain(&keeps);
            }
            !own.is_empty()
        });
    }

    fn update(&mut self, now: i64, by: &'static str, new: Fields) {
        if self.refuses(&new) || new == self.fields {
            return;
        }
        let changed = self.changed(&new);
        self.lose(None, &new);
        // Who only removes fields has no entry.
        if !changed.is_empty() {
            let (own, at) = self.entries.entry((by, false)).or_default();
            own.extend(changed);
            *at = Some(now);
        }
        self.commit(now, by, new);
        self.cap();
    }

    fn apply(&mut self, now: i64, by: &'static str, config: &Fields, force: bool) {
        let writer = (by, true);
        let (last, time) = self.entries.get(&writer).cloned().unwrap_or_default();
        let others =
            || self.entries.iter().filter(move |(other, _)| **other != writer).map(|(_, (own, _))| own);
        let mut new = self.fields.clone();
        new.extend(config);
        new.retain(|name, _| {
            config.contains_key(name) || !last.contains(name) || others().any(|own| own.contains(name))
        });
        let changed = self.changed(&new);
        if self.refuses(&new) || (!force && others().any(|own| !own.is_disjoint(&changed))) {
            return;
        }
        self.lose(Some(writer), &new);
        // Without a change of the object the time stays, also of an entry that comes to own a field.
        let is_changed = new != self.fields;
        let at = if is_changed { Some(now) } else { time };
        self.entries.remove(&writer);
        if !config.is_empty() {
            self.entries.insert(writer, (config.keys().copied().collect(), at));
        }
        if is_changed {
            self.commit(now, by, new);
        }
    }

    /// Of more than ten entries of updates the oldest are one.
    fn cap(&mut self) {
        let mut updates: Vec<(Option<i64>, Writer)> = self
            .entries
            .iter()
            .filter(|((_, apply), _)| !apply)
            .map(|(writer, (_, at))| (*at, *writer))
            .collect();
        updates.sort_unstable();
        let surplus = updates.len().saturating_sub(10);
        for (_, writer) in updates.iter().skip(1).take(surplus) {
            if !self.entries.contains_key(&(ANCIENT, false)) {
                let first = self.entries.remove(&updates[0].1).unwrap();
                self.entries.insert((ANCIENT, false), first);
            }
            let (own, at) = self.entries.remove(writer).unwrap();
            let ancient = self.entries.get_mut(&(ANCIENT, false)).unwrap();
            ancient.0.extend(own);
            ancient.1 = at;
        }
    }
}

/// A pod with one container.
struct Drawn {
    node: usize,
    made: i64,
    way: usize,
    /// The state of the Secret that its kubelet had at least when it was new.
    oldest: Option<usize>,
    /// When its container was started, and with which state.
    run: Option<(i64, usize)>,
}

struct Node {
    /// How far its clock is ahead.
    skew: i64,
    /// The immutable state that it keeps.
    kept: Option<usize>,
}

struct History {
    random: Random,
    now: i64,
    server: Server,
    nodes: Vec<Node>,
    pods: Vec<Drawn>,
    /// No kubelet has a state before this one.
    dropped: usize,
    /// When the ReplicaSets were made, or the StatefulSet.
    makers: Vec<i64>,
    stateful: bool,
    /// Pods start without the key, too.
    optional: bool,
    managers: usize,
}

impl History {
    fn draw(seed: u64) -> Self {
        let mut random = Random(seed);
        let nodes =
            (0..2).map(|_| Node { skew: random.seconds(2 * CLOCK_S + 1) - CLOCK_S, kept: None }).collect();
        let (stateful, managers) = (random.one_in(3), if random.one_in(4) { MANAGERS.len() } else { 3 });
        let optional = random.one_in(8);
        let (server, pods, makers) = (Server::default(), Vec::new(), vec![BEGIN]);
        let mut history = Self {
            random,
            now: BEGIN,
            server,
            nodes,
            pods,
            dropped: 0,
            makers,
            stateful,
            optional,
            managers,
        };
        history.now += history.random.seconds(2);
        history.make(false);
        for _ in 0..6 + history.random.below(24) {
            history.now += [0, 0, 1, 1, 1, 2, 9, 29, 30, 31, 60, 200][history.random.below(12)];
            history.step();
        }
        history
    }

    fn manager(&mut self) -> &'static str {
        MANAGERS[self.random.below(self.managers)]
    }

    /// Makes the Secret; `again`: there was another one, and who took it may have its value.
    fn make(&mut self, again: bool) {
        let mut fields = Fields::from([("data", 0), ("type", 0), ("a", self.random.below(4))]);
        if self.random.one_in(2) {
            fields.insert("b", self.random.below(3));
        }
        let before = self.server.states.iter().rev().nth(1).filter(|_| again);
        let (value, fixed) = (before.and_then(|state| state.value), before.map(|state| state.immutable));
        if fixed.unwrap_or_else(|| self.random.one_in(5)) {
            fields.insert("immutable", 1);
        }
        if let Some(value) = value.filter(|_| self.random.one_in(3)) {
            fields.insert("a", value);
        }
        let (by, apply) = (self.manager(), self.random.one_in(5));
        self.server.make(self.now, by, fields, apply);
    }

    fn add_pod(&mut self) {
        let (node, way) = (self.random.below(2), self.random.below(INIT + 1));
        self.pods.push(Drawn { node, made: self.now, way, oldest: None, run: None });
    }

    fn remove_pods(&mut self, which: std::ops::Range<usize>) {
        self.pods.drain(which);
        for (number, node) in self.nodes.iter_mut().enumerate() {
            node.kept = node.kept.filter(|_| self.pods.iter().any(|pod| pod.node == number));
        }
    }

    /// Starts the container of a pod, for the first time or again.
    fn start(&mut self, number: usize) {
        let (states, random) = (&self.server.states, &mut self.random);
        let Some(pod) = self.pods.get_mut(number) else { return };
        let node = &mut self.nodes[pod.node];
        let given = node.kept.unwrap_or_else(|| {
            let behind = match random.below(3) {
                0 => 0,
                1 => CACHE_S,
                _ => random.seconds(CACHE_S + 1),
            };
            let oldest = *pod.oldest.get_or_insert_with(|| {
                let over = |next: &State| next.at < pod.made - behind;
                self.dropped + states.iter().skip(self.dropped + 1).take_while(|next| over(next)).count()
            });
            match random.below(4) {
                0 | 1 => oldest + random.below(states.len() - oldest),
                2 => oldest,
                _ => states.len() - 1,
            }
        });
        let State { value, immutable, .. } = states[given];
        if value.is_some() || self.optional {
            node.kept = immutable.then_some(given).or(node.kept);
            pod.run = Some((self.now, given));
        }
    }

    fn step(&mut self) {
        let what = self.random.below(if self.managers == 3 { 16 } else { 22 });
        match what {
            0 | 1 => {
                if self.random.one_in(3) {
                    let settled = self.server.states.last().map_or(0, |state| state.at) + CACHE_S;
                    self.now = self.now.max(settled + self.random.seconds(2));
                }
                self.add_pod();
                if self.random.one_in(2) {
                    self.now += self.random.seconds(3);
                    self.start(self.pods.len() - 1);
                }
            }
            2 | 3 => {
                let number = self.random.below(self.pods.len() + 1);
                self.start(number);
            }
            _ if self.server.fields.is_empty() => self.make(true),
            4 => {
                let number = self.random.below(self.pods.len() + 1);
                self.remove_pods(number..(number + 1).min(self.pods.len()).max(number));
            }
            5 => self.roll_out(),
            7 | 8 => {
                self.update(what);
                if self.random.one_in(2) {
                    self.now += self.random.seconds(3);
                    let number = self.random.below(self.pods.len() + 1);
                    self.start(number);
                }
            }
            6 => self.make_anew(),
            12..=14 => self.apply(),
            16.. => {
                for _ in 0..4 + self.random.below(10) {
                    let what = if self.random.one_in(8) { 7 } else { what };
                    self.update(what);
                    self.now += self.random.seconds(3);
                }
            }
            _ => self.update(what),
        }
    }

    /// All pods are made anew from another template; those of before go sooner or later.
    fn roll_out(&mut self) {
        if !self.stateful {
            self.makers.push(self.now);
        }
        let old = self.pods.len();
        self.add_pod();
        self.add_pod();
        if self.random.one_in(2) {
            self.start(old);
        }
        if self.random.one_in(2) {
            self.remove_pods(0..old);
        }
    }

    /// Deletes the Secret, and makes it anew: at once, later, or with everything else.
    fn make_anew(&mut self) {
        self.server.delete(self.now);
        let all = self.random.one_in(3);
        if all {
            self.remove_pods(0..self.pods.len());
            self.dropped = self.server.states.len();
            self.now += self.random.seconds(3);
            self.makers = vec![self.now];
            self.now += self.random.seconds(2);
            self.make(false);
            self.add_pod();
            self.start(0);
        } else if self.random.one_in(2) {
            self.now += self.random.seconds(3);
            self.make(true);
        }
    }

    fn update(&mut self, what: usize) {
        let (mut new, random) = (self.server.fields.clone(), &mut self.random);
        let mut set = |name: &'static str, value: usize| _ = new.insert(name, value);
        match what {
            7 | 8 => set("a", random.below(4)),
            9 => {
                set("b", random.below(3));
                if random.one_in(2) {
                    set("a", random.below(4));
                }
            }
            // It replaces the Secret by one with less in it.
            10 => {
                new.retain(|name, _| ["a", "data", "type", "immutable"].contains(name));
                if random.one_in(3) {
                    new.insert("a", random.below(4));
                }
            }
            11 if random.one_in(4) => set("immutable", 1),
            15 => _ = new.remove(["b", "l0", "a"][random.below(3)]),
            _ => set(LABELS[random.below(if what < 16 { 1 } else { 12 })], random.below(4)),
        }
        let by = self.manager();
        self.server.update(self.now, by, new);
    }

    /// Applies some fields, each with the value that it has or another one.
    fn apply(&mut self) {
        let (mut config, random) = (Fields::new(), &mut self.random);
        for (name, values, leaves_out) in [("a", 4, random.one_in(4)), ("b", 3, random.one_in(2))] {
            let same = self.server.fields.get(name).copied().filter(|_| random.one_in(2));
            if !leaves_out {
                config.insert(name, same.unwrap_or_else(|| random.below(values)));
            }
        }
        if random.one_in(3) {
            config.insert("l0", random.below(2));
        }
        let (by, force) = (APPLIERS[random.below(2)], !random.one_in(4));
        self.server.apply(self.now, by, &config, force);
    }
}

/// Rules that are left out, each in turn: the margin for the cache of a kubelet, or one second of it; the margin for clocks;
/// the time of the pod; what is older than the Secret, or what of it does not run;
/// which key a writer has; that an apply is no bound. Two rules of `changed.rs` are belts: an entry is never older than its
/// Secret, and `ancient-changes` always has more than a key, or an entry of the same time beside it.
const LEFT_OUT: [&str; 8] = ["cache", "second", "clock", "pod", "older", "gone", "key", "apply"];

fn time(at: i64) -> String {
    format!("2026-01-01T{:02}:{:02}:{:02}Z", at / 3600, at / 60 % 60, at % 60)
}

/// `fieldsV1` of an entry.
fn fields_v1(own: &Names) -> Value {
    let (mut all, mut data, mut labels) = (Map::new(), Map::new(), Map::new());
    for name in own {
        let field = (format!("f:{name}"), json!({}));
        match *name {
            "data" => data.extend([(".".to_owned(), json!({}))]),
            "a" | "b" => data.extend([field]),
            "type" | "immutable" => all.extend([field]),
            _ => labels.extend([field]),
        }
    }
    if !data.is_empty() {
        // With nothing below it, the map itself is a leaf.
        let is_leaf = data.len() == 1 && data.contains_key(".");
        all.insert("f:data".to_owned(), if is_leaf { json!({}) } else { Value::Object(data) });
    }
    if !labels.is_empty() {
        all.insert("f:metadata".to_owned(), json!({ "f:labels": labels }));
    }
    Value::Object(all)
}

impl History {
    /// The Secret, as the API shows it.
    fn object(&self, out: &str) -> Value {
        let is = |one: &str| out == one;
        let entry = |((by, apply), (own, at)): (&Writer, &(Names, Option<i64>))| {
            let swap = |name: &&'static str| match *name {
                "a" if is("key") => "b",
                "b" if is("key") => "a",
                other => other,
            };
            let own = own.iter().map(swap).collect();
            let operation = if *apply && !is("apply") { "Apply" } else { "Update" };
            let mut entry = json!({ "manager": by, "operation": operation, "apiVersion": "v1" });
            entry["fieldsType"] = json!("FieldsV1");
            entry["fieldsV1"] = fields_v1(&own);
            entry["time"] = json!(at.map(time));
            entry
        };
        let entries: Vec<Value> = self.server.entries.iter().map(entry).collect();
        let has = |name: &str| self.server.fields.get(name).map(|value| VALUES[*value]);
        let data: BTreeMap<&str, &str> =
            ["a", "b"].into_iter().filter_map(|key| Some((key, has(key)?))).collect();
        let fixed = self.server.fields.contains_key("immutable");
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "immutable": fixed, "data": data,
            "metadata": { "name": "x", "creationTimestamp": time(self.server.created), "managedFields": entries },
        })
    }

    fn takes(&self, way: usize) -> Vec<Taking> {
        let from = From::Secret { name: "x".to_owned(), key: Some("a".to_owned()) };
        let how = [
            Way::Env("A".to_owned()),
            Way::EnvFrom(String::new()),
            Way::SubPath("/a".to_owned()),
            Way::Argument,
            Way::File("/a".to_owned()),
            Way::Env("A".to_owned()),
        ];
        let (container, init, way) = ("app".to_owned(), way == INIT, how[way].clone());
        vec![Taking { container, init, from, way, optional: self.optional, shadowed: false }]
    }

    fn pod(&self, drawn: &Drawn, out: &str) -> Pod {
        let started = drawn.run.map(|(at, _)| at + self.nodes[drawn.node].skew);
        let (started, made) = match out {
            "cache" => (started.map(|at| at + CACHE_S), drawn.made + CACHE_S),
            "second" => (started.map(|at| at + 1), drawn.made + 1),
            "clock" => (started.map(|at| at - CLOCK_S), drawn.made),
            "pod" => (started, started.unwrap_or(drawn.made)),
            _ => (started, drawn.made),
        };
        let init = drawn.way == INIT;
        let started = started.map(|at| EPOCH + at);
        let container =
            Container { name: "app".to_owned(), init, running: !init, started, ..Container::default() };
        let (created, takes) = (Some(EPOCH + made), self.takes(drawn.way).into());
        Pod { created, takes, containers: vec![container], ..Pod::default() }
    }

    fn namespace(&self, out: &str) -> Namespace {
        let kind = if self.stateful { "StatefulSet" } else { "ReplicaSet" };
        let maker = |made: &i64| Workload {
            kind: kind.to_owned(),
            created: Some(EPOCH + made),
            takes: self.takes(0),
            ..Workload::default()
        };
        Namespace {
            secrets: vec![objects::secret(serde_json::from_value(self.object(out)).unwrap())],
            workloads: self.makers.iter().map(maker).collect(),
            pods: self.pods.iter().map(|pod| self.pod(pod, out)).collect(),
            ..Namespace::default()
        }
    }

    /// What is said of each container that was started: the word, and how it compares with what the container was given.
    fn judge(&self, out: &str) -> Vec<(&'static str, Truth)> {
        let namespace = self.namespace(out);
        let remade = match out {
            "" => !remade(&namespace).is_empty(),
            "older" => false,
            "gone" => self.pods.iter().any(|pod| pod.run.is_some_and(|(at, _)| at < self.server.created)),
            _ => !remade(&self.namespace("")).is_empty(),
        };
        let secret = &namespace.secrets[0];
        let source =
            Source {
                history: Some(secret.history()), key: "a", place: "secret/x a", label: "…·1", remade
            };
        let mut all = Vec::new();
        for (drawn, pod) in self.pods.iter().zip(&namespace.pods) {
            let Some((_, given)) = drawn.run else { continue };
            let word = judged(&pod.takes[0], &pod.containers[0], pod, &source).word;
            let last = secret.changed.get("a").map(|changed| (changed.at - EPOCH, changed.by.as_str()));
            all.push((word, self.truth(word, drawn.way, given, last)));
        }
        all
    }

    /// `last`: when the key was changed last and by whom, as the code has it.
    fn truth(&self, word: &str, way: usize, given: usize, last: Option<(i64, &str)>) -> Truth {
        let (since, now) = (&self.server.states[given..], self.server.fields.get("a").copied());
        let first = since[0].value;
        // A Secret that is deleted leaves the files as they are, and may be made anew with the value that it had.
        let other = |(number, state): (usize, &State)| {
            state.value != now && (state.value.is_some() || given + number >= self.server.born)
        };
        let changed = since.iter().enumerate().any(other);
        let is_now = first == now && (way != FILE || !changed);
        let (at, by) = last.unwrap_or((0, ""));
        match word {
            "current" if !is_now => {
                let early = || since.iter().take_while(|state| state.at == self.server.created);
                let other = early().any(|state| state.value.is_some() && state.value != first);
                if first.is_some() && other && at == self.server.created {
                    Truth::Twice
                } else {
                    Truth::Wrong
                }
            }
            "stale" if way >= FILE => Truth::Wrong,
            "stale" if is_now && changed => Truth::Back,
            "stale" if is_now => {
                let beside = self.server.writes.iter().any(|write| {
                    let (when, who, name) = *write;
                    when == at && who == by && name != "a"
                });
                if beside { Truth::Beside } else { Truth::Wrong }
            }
            _ => Truth::Right,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Truth {
    Right,
    Wrong,
    /// Called current: the key had another value earlier in the second in which the Secret was made.
    Twice,
    /// Called stale: it was changed, and changed to the value of before.
    Back,
    /// Called stale: its last writer changed another field then, which it lost to nobody who shows it.
    Beside,
}

#[test]
fn no_verdict_about_a_drawn_history_is_wrong_and_a_rule_that_is_left_out_makes_one_wrong() {
    let (mut count, mut missed) = (BTreeMap::new(), LEFT_OUT.to_vec());
    let mut by_ancient = 0;
    for seed in 0..HISTORIES {
        let history = History::draw(seed);
        if !history.server.fields.contains_key("a") {
            continue;
        }
        let all = history.judge("");
        for one in &all {
            assert_ne!(one.1, Truth::Wrong, "history {seed}: {all:?}");
            *count.entry(*one).or_insert(0) += 1;
        }
        let ancient = history.server.entries.get(&(ANCIENT, false)).is_some_and(|(own, _)| own.contains("a"));
        by_ancient += usize::from(ancient && all.iter().any(|one| one.0 == "current"));
        missed.retain(|out| history.judge(out).iter().all(|one| one.1 != Truth::Wrong));
    }
    let of = |word: &'static str, truth: Truth| count.get(&(word, truth)).copied().unwrap_or(0);
    for (word, least) in [("current", 2000), ("stale", 500), ("likely stale", 4000), ("unknown", 6000)] {
        assert!(of(word, Truth::Right) >= least, "{word}: {count:?}");
    }
    // What cannot be known is drawn, and rare.
    assert!(of("stale", Truth::Back) > 0, "{count:?}");
    assert!(of("current", Truth::Twice) * 100 <= of("current", Truth::Right), "{count:?}");
    assert!(of("stale", Truth::Beside) * 100 <= of("stale", Truth::Right), "{count:?}");
    assert!(by_ancient > 0);
    assert!(missed.is_empty(), "no history catches {missed:?}; {count:?}");
}
