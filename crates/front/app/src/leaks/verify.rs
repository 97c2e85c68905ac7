use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keyroll_issuer::VerifyReply;
use keyroll_port::Probe;
use keyroll_scanner::{Finding, FindingKind, Identity, Outcome, Report, Verification};
use keyroll_secret::SecretBytes;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout};

use crate::leaks::verifiers::{Asker, Askers};
use crate::operator::Operator;
use crate::problem::Problem;
use crate::wiring::open::new_runtime;

/// The most values that are asked about in one run.
const VALUES_ASKED_MAX: usize = 200;

/// How long the whole run may take, milliseconds.
const RUN_MS_MAX: u64 = 120_000;

/// How long to wait for one answer, milliseconds; less if the spec says so.
const ANSWER_MS_MAX: u64 = 10_000;

/// The pause between two questions to one host, milliseconds.
const HOST_PAUSE_MS: u64 = 200;

/// How many hosts are asked at a time; each is asked one question after the other.
const HOSTS_AT_ONCE: usize = 4;

/// After this many unanswered questions in a row, a host is not asked again.
const SILENT_MAX: usize = 3;

/// A value, and the issuer that is asked about it.
struct Question {
    identity: Identity,
    value: SecretBytes,
    by: Arc<Asker>,
}

/// The questions, host by host, and the results of findings that nobody is asked about.
#[derive(Default)]
struct Plan {
    hosts: BTreeMap<String, Vec<Question>>,
    questions: usize,
    known: BTreeMap<Identity, Verification>,
}

/// Asks the issuers about the found values, each once, and records the result in each finding. An active value loses
/// its acceptance. Open findings are asked about first.
///
/// # Errors
/// No issuer could be asked.
pub(super) fn ask(
    askers: &Askers,
    held: BTreeMap<Identity, SecretBytes>,
    report: &mut Report,
    operator: &mut dyn Operator,
) -> Result<(), Problem> {
    let plan = plan(askers, held, report);
    let known = if plan.questions == 0 { plan.known } else { answers(plan, operator)? };
    for one in &mut report.findings {
        if let Some(asked) = known.get(&one.identity) {
            one.tell(asked.clone());
        }
    }
    Ok(())
}

fn plan(askers: &Askers, mut held: BTreeMap<Identity, SecretBytes>, report: &Report) -> Plan {
    let mut plan = Plan::default();
    let accepted = report.findings.iter().filter(|one| !one.is_open());
    for one in report.open().chain(accepted) {
        if plan.known.contains_key(&one.identity) {
            continue;
        }
        let value = held.remove(&one.identity);
        let asked = match question(askers, one, value, plan.questions) {
            Ok((at, question)) => {
                let asked = Verification { at: Some(at.clone()), ..by(&question.by, Outcome::Unknown, None) };
                plan.hosts.entry(at).or_default().push(question);
                plan.questions += 1;
                asked
            }
            Err(asked) => asked,
        };
        plan.known.insert(one.identity.clone(), asked);
    }
    plan
}

/// The issuer and host that are asked about a finding; or why none is.
fn question(
    askers: &Askers,
    one: &Finding,
    value: Option<SecretBytes>,
    before: usize,
) -> Result<(String, Question), Verification> {
    let rule = match &one.what {
        FindingKind::Known(version) => {
            let why = format!("it is keyroll's own secret: keyroll verify {}", version.secret);
            return Err(not_asked(why));
        }
        FindingKind::Kind { rule, .. } => rule,
    };
    let asker = askers.of_rule(rule).ok_or_else(|| not_asked("no issuer spec covers it"))?;
    let no = |why: String| by(asker, Outcome::NotAsked, Some(why));
    let Some(at) = &asker.at else {
        let why = "its issuer is at your own host: set the host in a copy of the spec, and name the copy with --issuer";
        return Err(no(why.to_owned()));
    };
    let value = value.ok_or_else(|| no("too many values were found".to_owned()))?;
    if let Some(clause) = asker.spec.unaskable(&value) {
        return Err(no(format!("the spec does not cover it: it {clause}")));
    }
    if before >= VALUES_ASKED_MAX {
        return Err(no(format!("one run verifies at most {VALUES_ASKED_MAX} values")));
    }
    Ok((at.clone(), Question { identity: one.identity.clone(), value, by: asker.clone() }))
}

fn answers(plan: Plan, operator: &mut dyn Operator) -> Result<BTreeMap<Identity, Verification>, Problem> {
    let Plan { hosts, questions, mut known } = plan;
    let values = if questions == 1 { "1 value".to_owned() } else { format!("{questions} values") };
    let names: Vec<&str> = hosts.keys().map(String::as_str).collect();
    operator.note(format!("verifying {values} at {}", names.join(", ")));
    let runtime = new_runtime()?;
    runtime.block_on(async {
        let end = Instant::now() + Duration::from_millis(RUN_MS_MAX);
        let (tell, mut told) = mpsc::channel(VALUES_ASKED_MAX);
        let turns = Arc::new(Semaphore::new(HOSTS_AT_ONCE));
        for (at, questions) in hosts {
            tokio::spawn(host(at, questions, turns.clone(), tell.clone(), end));
        }
        drop(tell);
        let mut done = 0_usize;
        while let Some((identity, asked)) = told.recv().await {
            known.insert(identity, asked);
            done += 1;
            operator.progress(&format!("verified {done} of {values} …"));
        }
    });
    // Do not wait for a name that is still being resolved.
    runtime.shutdown_background();
    Ok(known)
}

/// Asks one host, one question after the other.
async fn host(
    at: String,
    questions: Vec<Question>,
    turns: Arc<Semaphore>,
    tell: mpsc::Sender<(Identity, Verification)>,
    end: Instant,
) {
    let _turn = turns.acquire_owned().await;
    let mut silent = 0;
    let mut closed: Option<String> = None;
    for (number, Question { identity, value, by: asker }) in questions.into_iter().enumerate() {
        if number > 0 && closed.is_none() {
            sleep(Duration::from_millis(HOST_PAUSE_MS)).await;
        }
        if closed.is_none() && Instant::now() >= end {
            closed = Some(format!("the time limit of {} s for all calls was reached", RUN_MS_MAX / 1_000));
        }
        let asked = match &closed {
            Some(why) => by(&asker, Outcome::NotAsked, Some(why.clone())),
            None => {
                let left = end.saturating_duration_since(Instant::now());
                let limit = left.min(Duration::from_millis(ANSWER_MS_MAX));
                let told = timeout(limit, asker.runner.ask(value)).await;
                let told = told.unwrap_or_else(|_| {
                    VerifyReply::Silent(format!("no answer within {} ms", limit.as_millis()))
                });
                silent = if matches!(told, VerifyReply::Silent(_)) { silent + 1 } else { 0 };
                if matches!(told, VerifyReply::TooMany(_)) {
                    closed = Some("the host asks for fewer calls".to_owned());
                } else if silent >= SILENT_MAX {
                    closed = Some(format!("the host did not answer {SILENT_MAX} times in a row"));
                }
                judged(&asker, told)
            }
        };
        // Who listens waits for all.
        let _ = tell.send((identity, Verification { at: Some(at.clone()), ..asked })).await;
    }
}

/// The result of an answer. No answer, and a request to ask later (429), prove nothing.
fn judged(asker: &Asker, told: VerifyReply) -> Verification {
    let (outcome, why) = match told {
        VerifyReply::Answered(Probe::Alive) => (Outcome::Active, None),
        VerifyReply::Answered(Probe::Denied) => {
            (Outcome::Active, Some("accepted, but not permitted to make this call".to_owned()))
        }
        VerifyReply::Answered(Probe::Dead) => match asker.spec.elsewhere() {
            None => (Outcome::Dead, None),
            Some(who) => (Outcome::Unknown, Some(format!("refused; another host may accept it: {who}"))),
        },
        VerifyReply::Answered(Probe::Unknown(why)) | VerifyReply::TooMany(why) | VerifyReply::Silent(why) => {
            (Outcome::Unknown, Some(why))
        }
    };
    by(asker, outcome, why)
}

fn by(asker: &Asker, outcome: Outcome, why: Option<String>) -> Verification {
    Verification { outcome, issuer: Some(asker.name.clone()), at: None, why }
}

fn not_asked(why: impl Into<String>) -> Verification {
    Verification { outcome: Outcome::NotAsked, issuer: None, at: None, why: Some(why.into()) }
}

#[cfg(test)]
mod tests {
    use keyroll_scanner::{Accepted, AcceptedBy, FindingPlace, Position};
    use keyroll_secret::FingerprintKey;

    use super::*;

    /// So many values of a kind, each found at two locations.
    fn found(count: u32, rule: &str) -> (Report, BTreeMap<Identity, SecretBytes>) {
        let (mut report, mut held) = (Report::default(), BTreeMap::new());
        for number in 0..count {
            let value = || SecretBytes::from(format!("sk_live_{number:024}7b"));
            let identity = Identity::of(&FingerprintKey::new(&[1; 32]).fingerprint(&value()));
            held.insert(identity.clone(), value());
            let at = Position { line: 1, column: 1 };
            let place = FindingPlace {
                host: None,
                source: None,
                path: None,
                inside: Vec::new(),
                start: at,
                end: at,
                commit: None,
            };
            let what = FindingKind::Kind { rule: rule.to_owned(), title: rule.to_owned(), provider: None };
            let one = Finding {
                identity,
                what,
                name: None,
                form: None,
                place,
                accepted: None,
                remark: None,
                asked: None,
            };
            report.findings.extend([one.clone(), one]);
        }
        (report, held)
    }

    #[test]
    fn each_value_is_asked_about_once_and_not_more_than_so_many() {
        let askers = Askers::of(&[]).unwrap();
        let (report, held) = found(250, "stripe-secret-key");
        let plan = plan(&askers, held, &report);
        assert_eq!((plan.hosts.len(), plan.questions), (1, VALUES_ASKED_MAX));
        assert_eq!(plan.hosts["api.stripe.com:443"].len(), VALUES_ASKED_MAX);
        let left = plan.known.values().filter(|asked| asked.outcome == Outcome::NotAsked);
        assert!(left.clone().all(|asked| asked.why.as_deref().unwrap().contains("at most 200")));
        assert_eq!(left.count(), 50);
    }

    #[test]
    fn what_nobody_accepted_is_asked_about_first() {
        let askers = Askers::of(&[]).unwrap();
        let (mut report, held) = found(250, "stripe-secret-key");
        let accepted = Accepted { by: AcceptedBy::Comment, reason: "a test".to_owned(), until: None };
        // The first hundred values, at both of their locations.
        report.findings.iter_mut().take(200).for_each(|one| one.accepted = Some(accepted.clone()));
        let plan = plan(&askers, held, &report);
        let asked = |one: &&Finding| plan.known[&one.identity].outcome != Outcome::NotAsked;
        assert_eq!(report.open().filter(asked).count(), 300);
        assert_eq!(report.findings.iter().filter(asked).count(), 2 * VALUES_ASKED_MAX);
    }

    #[test]
    fn a_value_that_was_not_held_or_that_no_spec_asks_about_is_not_asked() {
        let askers = Askers::of(&[]).unwrap();
        for (rule, holds, why) in [
            ("stripe-secret-key", false, "too many"),
            ("vonage-api-secret", true, "no issuer spec"),
            ("openrouter-api-key", true, "does not begin with"),
            ("grafana-service-token", true, "at your own host"),
        ] {
            let (report, held) = found(1, rule);
            let held = if holds { held } else { BTreeMap::new() };
            let plan = plan(&askers, held, &report);
            let asked = plan.known.values().next().unwrap();
            assert!(plan.questions == 0 && asked.outcome == Outcome::NotAsked, "{rule}");
            assert!(asked.why.as_deref().unwrap().contains(why), "{rule}: {:?}", asked.why);
        }
    }
}
