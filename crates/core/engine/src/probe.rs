//! Asks the issuer about credentials: from the machine of keyroll, and from each host of the plan.

use std::future::{Future, poll_fn};
use std::task::Poll;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure, Probe};
use keyroll_rotation::{EndpointId, Fact, HostId, Phase, PreflightAnswers, ProbeResult, State, Which};
use keyroll_secret::Credential;

use crate::executor::{Executor, Note, Old};

/// One (host, endpoint) pair of the plan.
struct Place {
    /// The host that asks.
    host: HostId,
    /// The host is another one than the machine of keyroll.
    is_elsewhere: bool,
    /// The issuer's endpoint, as the issuer names it.
    endpoint: String,
}

impl Executor {
    /// The pairs of the plan by their numbers: all of the issuer's endpoints from the first host, the machine of keyroll, then
    /// all from the next one.
    fn places(&self, state: &State) -> Result<Vec<Place>, Failure> {
        let (hosts, endpoints) = (&state.plan().endpoints, self.ports.issuer.endpoints());
        let here = hosts.first().copied();
        let one_host = hosts.iter().all(|host| Some(*host) == here);
        let rest = hosts.len().checked_rem(endpoints.len());
        // An issuer that has one more since is asked at those of the plan; the numbers of several hosts would mean others.
        let fits = if one_host { hosts.len() <= endpoints.len() } else { rest == Some(0) };
        if !fits {
            return Err(other_endpoints());
        }
        let places = hosts.iter().zip(endpoints.iter().cycle()).map(|(host, endpoint)| Place {
            host: *host,
            is_elsewhere: Some(*host) != here,
            endpoint: endpoint.clone(),
        });
        Ok(places.collect())
    }

    /// The answer to one credential, asked from the machine of keyroll.
    pub(crate) async fn ask(&self, endpoint: &str, credential: &Credential) -> ProbeResult {
        result(&self.ports.issuer.probe(endpoint, credential).await)
    }

    /// The answer to one credential, asked from the host of a pair. One that is not clear is shown with its reason: what waits for
    /// it would say nothing else.
    async fn ask_from(&self, place: &Place, credential: &Credential) -> ProbeResult {
        let call = self.ports.issuer.probe(&place.endpoint, credential);
        let probe = self.ports.host.call_from(place.host, call).await;
        if let Probe::Unknown(why) = &probe {
            self.show(place, why);
        }
        result(&probe)
    }

    /// Whether somebody else has ended the new key: it is refused everywhere, beside an old one that is accepted.
    pub(crate) async fn is_new_gone(&self, old: &Old, state: &State) -> Result<bool, Failure> {
        let Some(new) = self.new_credential(state).await? else { return Ok(false) };
        let mut asked = false;
        for place in self.places(state)?.iter().filter(|place| !state.has_left(place.host)) {
            let answers = [self.ask_from(place, &new).await, self.ask_from(place, &old.credential).await];
            if answers != [ProbeResult::Dead, ProbeResult::Alive] {
                return Ok(false);
            }
            asked = true;
        }
        Ok(asked)
    }

    /// Shows what only another host was answered.
    fn note_from(&self, place: &Place, what: &str) {
        if place.is_elsewhere {
            self.show(place, what);
        }
    }

    /// Shows what the host of a pair was answered.
    fn show(&self, place: &Place, what: &str) {
        let (host, endpoint, what) = (place.host, place.endpoint.clone(), what.to_owned());
        self.note(Note::AskedFrom { host, endpoint, what });
    }

    /// The answers of one pair to a deliberately wrong credential and to the current value.
    async fn preflight_at(&self, place: &Place, old: &Old, recovery: bool) -> (ProbeResult, ProbeResult) {
        let wrong = self.ask_from(place, &self.ports.issuer.decoy(&old.credential)).await;
        if matches!(wrong, ProbeResult::Alive | ProbeResult::Denied) {
            self.note_from(place, "a deliberately wrong credential is accepted");
        }
        let current = self.ask_from(place, &old.credential).await;
        if current == ProbeResult::Dead && !recovery {
            self.note_from(place, "the current value is refused");
        }
        (wrong, current)
    }

    /// The answers of all pairs, but of hosts that have left, to a deliberately wrong credential and to the current value. The
    /// hosts are asked at the same time: the phase has a minute.
    pub(crate) async fn preflight_answers(
        &self,
        old: &Old,
        state: &State,
    ) -> Result<PreflightAnswers, Failure> {
        let recovery = state.plan().recovery;
        let mut answers = PreflightAnswers::new(recovery);
        let mut places = self.places(state)?;
        places.retain(|place| !state.has_left(place.host));
        let mut hosts: Vec<HostId> = places.iter().map(|place| place.host).collect();
        hosts.dedup();
        let of_host = |host: HostId| {
            let own: Vec<&Place> = places.iter().filter(|place| place.host == host).collect();
            async move {
                let mut answers = Vec::new();
                for place in own {
                    answers.push(self.preflight_at(place, old, recovery).await);
                }
                answers
            }
        };
        for (wrong, current) in together(hosts.into_iter().map(of_host)).await.into_iter().flatten() {
            answers.add(wrong, current);
        }
        Ok(answers)
    }

    /// The answer of one pair to a version, with that to another version beside it if the old one is asked about.
    pub(crate) async fn probe(
        &self,
        old: &Old,
        endpoint: EndpointId,
        which: Which,
        state: &State,
    ) -> Result<Fact, Failure> {
        let places = self.places(state)?;
        let place = places.get(endpoint.index()).ok_or_else(other_endpoints)?;
        if which == Which::Old && self.would_count(state) {
            // Its state is read by listing: presented by us it would be refused, and stand in the record of uses.
            return Ok(Fact::Probed {
                endpoint,
                version: which,
                answer: ProbeResult::Unknown,
                control: None,
            });
        }
        let new = self.new_credential(state).await?;
        let (answer, control) = match (which, &new) {
            (Which::New, Some(new)) => {
                let answer = self.ask_from(place, new).await;
                if answer == ProbeResult::Dead && state.phase() > Phase::Quiesce {
                    self.note_from(place, "the new key is refused");
                    let ended = state.phase() == Phase::ConfirmDead;
                    self.note(Note::Failed(new_refused(&place.endpoint, ended)));
                }
                (answer, None)
            }
            (Which::New, None) => (ProbeResult::Unknown, None),
            (Which::Old, new) => {
                let answer = self.ask_from(place, &old.credential).await;
                // Only a refusal needs a control: in a rollback the issuer would show each one as a use of the new key.
                if answer != ProbeResult::Dead {
                    return Ok(Fact::Probed { endpoint, version: which, answer, control: None });
                }
                let control = match self.current_since(old).await?.as_ref().or(new.as_ref()) {
                    Some(control) => Some(self.ask_from(place, control).await),
                    // A new version whose value is not here is no control: a refusal alone may be an outage.
                    None => state.new_version().map(|_| ProbeResult::Unknown),
                };
                (answer, control)
            }
        };
        Ok(Fact::Probed { endpoint, version: which, answer, control })
    }
}

/// Awaits all at the same time, in this task: a call keeps what belongs to its task.
async fn together<T>(calls: impl Iterator<Item = impl Future<Output = T> + Send>) -> Vec<T> {
    let mut open: Vec<_> = calls.map(|call| (Box::pin(call), None)).collect();
    poll_fn(|task| {
        let mut waits = false;
        for (call, done) in open.iter_mut().filter(|(_, done)| done.is_none()) {
            match call.as_mut().poll(task) {
                Poll::Ready(value) => *done = Some(value),
                Poll::Pending => waits = true,
            }
        }
        if waits { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    open.into_iter().filter_map(|(_, done)| done).collect()
}

/// The protocol's word for an answer.
fn result(probe: &Probe) -> ProbeResult {
    match probe {
        Probe::Alive => ProbeResult::Alive,
        Probe::Denied => ProbeResult::Denied,
        Probe::Dead => ProbeResult::Dead,
        Probe::Unknown(_) => ProbeResult::Unknown,
    }
}

/// The issuer has other endpoints than the plan, so the plan's numbers may mean others.
fn other_endpoints() -> Failure {
    Failure::new(Class::Permanent, Code::PlanStale, "find the endpoints of the plan")
        .because("the issuer has fewer or more now")
}

/// After the roll, an endpoint refuses the new key. `ended`: the old one was revoked before.
fn new_refused(endpoint: &str, ended: bool) -> Failure {
    let (attempted, help) = if ended {
        (
            "see the new key accepted beside the refused old one",
            "see at the issuer what happened to the new key; the old one was revoked",
        )
    } else {
        (
            "see the new key accepted before the old one is ended",
            "see at the issuer what happened to the new key; the old one is kept",
        )
    };
    Failure::new(Class::Permanent, Code::NewKeyRefused, attempted)
        .because(format!("{endpoint} refuses it"))
        .help(help)
}
