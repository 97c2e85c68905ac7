use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keyroll_codes::Code;
use keyroll_inventory::{LookLimits, Missed, ScanShown};
use keyroll_link::{
    Call, Item, Link, LinkError, bytes_of, drafted, missed, scan_report, trace_report, why_reports,
};
use keyroll_secret::Fingerprint;
use keyroll_ssh::Reached;

use super::at_once::Telling;
use super::chosen::Remote;
use super::known::Known;
use super::meant::{Answer, not_there};
use super::reach::Way;
use super::seen::{HostCall, HostReport, HostSeen, digits_in};
use super::unreached::{of_answer, of_link};
use crate::operator::plain;
use crate::problem::Problem;

/// How long a host may take to make a report, seconds.
const REPORT_S: u64 = 300;

/// How long a search may take beyond its stages, seconds: to list processes, and to send what was found.
const SEARCH_MORE_S: u64 = 120;

/// How many stages of one search each have the operator's limit: names, values, services, and what they read.
const STAGES: u64 = 4;

/// How many digits of a label are shown where the report has no label of a value.
const DIGITS_MIN: usize = 6;

/// What is asked about every host.
pub(super) struct Asked {
    pub(super) call: HostCall,
    /// The folders to search, absolute there.
    pub(super) roots: Vec<String>,
    pub(super) limits: LookLimits,
    pub(super) known: Known,
    pub(super) way: Way,
}

/// What was seen on a host.
pub(super) struct Looked {
    pub(super) seen: HostSeen,
    /// It does not have what was asked about.
    pub(super) absent: bool,
    /// No machine was accepted under its name yet.
    pub(super) new: bool,
    /// The digest of its machine-id, if it has one.
    pub(super) machine: Option<String>,
}

/// Looks at one host.
///
/// # Errors
/// It cannot be reached, is another machine than the accepted one, or its answers cannot be used.
pub(super) async fn look_there(
    asked: Arc<Asked>,
    remote: Remote,
    telling: Telling,
) -> Result<Looked, Problem> {
    let mut reached = asked.way.reach(&remote, &telling).await?;
    let new = asked.way.refuse_other(&remote.name, &reached.hello)?;
    let machine = reached.hello.machine.clone();
    let values = BTreeMap::new();
    let link = &mut reached.link;
    let mut session =
        Session { asked: &asked, name: &remote.name, telling: &telling, link, values, scans: Vec::new() };
    let seen = session.look().await;
    let (seen, absent) = ended(reached, seen).await?;
    Ok(Looked { seen, absent, new, machine })
}

/// Ends a connection. If it was cut, the problem then says what ssh said.
///
/// # Errors
/// Those of what was done.
pub(super) async fn ended<T>(reached: Reached, done: Result<T, Problem>) -> Result<T, Problem> {
    // The program there ends with its input; ssh is awaited so that none is left.
    let said = reached.end().await;
    done.map_err(|problem| match problem.code == Code::HostUnreachable {
        true => {
            said.iter().fold(problem, |problem, said| problem.because(format!("ssh said: {}", plain(said))))
        }
        false => problem,
    })
}

/// One host while it is asked.
struct Session<'s> {
    asked: &'s Asked,
    name: &'s str,
    telling: &'s Telling,
    link: &'s mut Link,
    /// Its values by its own numbers.
    values: BTreeMap<u32, Fingerprint>,
    scans: Vec<ScanShown>,
}

impl Session<'_> {
    /// Look, name the values, search the memory, name those that were found only there, and ask.
    async fn look(&mut self) -> Result<(HostSeen, bool), Problem> {
        let LookLimits { wait, memory } = self.asked.limits;
        let (key, roots) = (self.asked.known.key_hex.clone(), self.asked.roots.clone());
        let found = self.search(Call::Look { key, roots, wait_s: wait }).await?;
        self.take(found)?;
        self.name_values().await?;
        // A wrong name is reported before the memory is searched.
        if let HostCall::Trace { .. } = self.asked.call
            && let Err(error) = self.ask().await
        {
            return self.without(error).await;
        }
        if memory > 0 && !self.values.is_empty() {
            let found = self.search(Call::Memory { gib: memory, wait_s: wait }).await?;
            if self.take(found)? {
                self.name_values().await?;
            }
        }
        match self.ask().await {
            Ok(items) => {
                let (missed, refused) = missed(&items);
                let report = match &self.asked.call {
                    HostCall::Scan => HostReport::Scan(scan_report(items)),
                    HostCall::Why { .. } => HostReport::Why(why_reports(items)),
                    HostCall::Trace { .. } => HostReport::Trace(trace_report(items)),
                    HostCall::Draft { .. } => {
                        let (drafts, left_out) = drafted(items);
                        HostReport::Draft(self.asked.known.drafted(drafts, left_out, &self.values))
                    }
                };
                let (mut seen, absent) = self.seen(Answer::of(report), &missed)?;
                seen.refused = refused;
                Ok((seen, absent))
            }
            Err(error) => self.without(error).await,
        }
    }

    /// The host does not have what was asked about. What could not be inspected there is told with it: it may be in that.
    async fn without(&mut self, error: LinkError) -> Result<(HostSeen, bool), Problem> {
        let answer = not_there(self.name, &self.asked.call, error)?;
        let items = self.call(Call::Scan, REPORT_S).await;
        let (missed, refused) = missed(&items.map_err(|error| of_link(self.name, "look at", error))?);
        let (mut seen, absent) = self.seen(answer, &missed)?;
        seen.refused = refused;
        Ok((seen, absent))
    }

    /// A stage of the search.
    async fn search(&mut self, call: Call) -> Result<Vec<Item>, Problem> {
        let seconds = self.asked.limits.wait.saturating_mul(STAGES).saturating_add(SEARCH_MORE_S);
        self.call(call, seconds).await.map_err(|error| of_link(self.name, "look at", error))
    }

    /// The question that the operator asked.
    async fn ask(&mut self) -> Result<Vec<Item>, LinkError> {
        let call = match &self.asked.call {
            HostCall::Scan => Call::Scan,
            HostCall::Why { what } => Call::Why { what: what.clone() },
            HostCall::Trace { secret, evidence } => {
                Call::Trace { secret: secret.clone(), evidence: *evidence }
            }
            HostCall::Draft { secrets, folders } => Call::Draft {
                folder: folders.get(self.name).cloned().unwrap_or_default(),
                roots: self.asked.roots.clone(),
                secrets: secrets.clone(),
            },
        };
        self.call(call, REPORT_S).await
    }

    async fn call(&mut self, call: Call, seconds: u64) -> Result<Vec<Item>, LinkError> {
        let telling = self.telling;
        let mut heard = |note| telling.note(note);
        self.link.call(call, Duration::from_secs(seconds), &mut heard).await
    }

    /// Tells the host what its values are called. Always all of them: the last names are those that count.
    async fn name_values(&mut self) -> Result<(), Problem> {
        let (managed, digits) = self.asked.known.of_host(&self.values);
        if managed.is_empty() && digits.is_empty() {
            return Ok(());
        }
        let named = self.call(Call::Name { managed, digits }, REPORT_S).await;
        named.map(drop).map_err(|error| of_link(self.name, "look at", error))
    }

    /// Keeps the values and the extent of a search. Returns whether there is another value than before.
    fn take(&mut self, items: Vec<Item>) -> Result<bool, Problem> {
        let before = self.values.len();
        for item in items {
            // The others belong to the report.
            if let Item::Value { id, print } = item {
                let bytes = bytes_of(&print).ok_or_else(|| {
                    of_answer(
                        self.name,
                        "look at",
                        "a fingerprint has another form than keyroll-host gives it",
                    )
                })?;
                self.values.insert(id, Fingerprint::from_bytes(bytes));
            } else if let Item::Scan(scan) = item {
                self.scans.push(scan);
            }
        }
        Ok(self.values.len() > before)
    }

    /// The host with this answer.
    fn seen(&mut self, answer: Answer, missed: &[Missed]) -> Result<(HostSeen, bool), Problem> {
        let Answer { report, absent } = answer;
        let known = &self.asked.known;
        let shown: Vec<(Fingerprint, String)> =
            self.values.values().map(|print| (*print, known.digits(print))).collect();
        let (prints, mut named) = labelled(&shown, &report);
        named.extend(drafted_names(&report, &self.values));
        let mut missed = missed.to_vec();
        if known.has_stored() {
            missed.push(Missed {
                what: "copies of stored values that neither a name nor a form shows".to_owned(),
                why: "values are not sent to a host".to_owned(),
            });
        }
        let (host, scans) = (self.name.to_owned(), std::mem::take(&mut self.scans));
        Ok((HostSeen { host, cluster: false, scans, prints, named, report, missed, refused: false }, absent))
    }
}

/// A text for each value, by its fingerprint.
pub(super) type ByPrint = BTreeMap<[u8; 32], String>;

/// The labels of the values, and the names of their secrets, as the report has them. A label shows as many digits as tell the
/// values of its host apart.
pub(super) fn labelled(shown: &[(Fingerprint, String)], report: &HostReport) -> (ByPrint, ByPrint) {
    let short = |digits: &String| format!("…·{}", digits.chars().take(DIGITS_MIN).collect::<String>());
    let mut prints: ByPrint =
        shown.iter().map(|(print, digits)| (*print.as_bytes(), short(digits))).collect();
    let mut named = ByPrint::new();
    // In order, so that a host with many values and many labels does not hold up the others.
    let mut ordered: Vec<(&str, &Fingerprint)> =
        shown.iter().map(|(print, digits)| (digits.as_str(), print)).collect();
    ordered.sort_unstable_by_key(|(digits, _)| *digits);
    for (secret, label) in report.labels() {
        let Some(digits) = digits_in(label) else { continue };
        let first = ordered.partition_point(|(all, _)| *all < digits);
        let mut fitting = ordered.iter().skip(first).take_while(|(all, _)| all.starts_with(digits));
        if let (Some((_, print)), None) = (fitting.next(), fitting.next()) {
            prints.insert(*print.as_bytes(), label.to_owned());
            named.insert(*print.as_bytes(), secret.to_owned());
        }
    }
    (prints, named)
}

/// The names of the secrets of drafts, by the fingerprints of their values, which drafts name by numbers.
pub(super) fn drafted_names(report: &HostReport, values: &BTreeMap<u32, Fingerprint>) -> ByPrint {
    let HostReport::Draft(report) = report else { return ByPrint::new() };
    let names = report.drafts.iter().flat_map(|draft| {
        let own = draft.values.iter().filter_map(|id| values.get(id));
        own.map(move |print| (*print.as_bytes(), draft.secret.clone()))
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use keyroll_inventory::{DraftShown, FoundShown, ScanReport, ValueShown};
    use keyroll_link::{End, Frame, Hello, HostHello, decode, digits_of, encode};
    use keyroll_secret::SecretBytes;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;
    use crate::installation::Installation;
    use crate::places::Locations;

    fn hello() -> Frame {
        Frame::Hello(Hello::Host(HostHello {
            version: keyroll_link::VERSION,
            keyroll: "0.1.0".to_owned(),
            machine: None,
            hardware: None,
            boot: String::new(),
            now_unix_ms: 0,
            root: true,
            user: "root".to_owned(),
            seal: String::new(),
        }))
    }

    /// A host that gives these answers, one after the other, and returns what it was asked.
    async fn host(mut io: DuplexStream, answers: Vec<(Vec<Item>, End)>) -> Vec<Call> {
        let (mut answers, mut asked) = (answers.into_iter(), Vec::new());
        while let Ok(length) = io.read_u32().await {
            let mut body = vec![0; usize::try_from(length).unwrap()];
            io.read_exact(&mut body).await.unwrap();
            let answer = match decode(&body).unwrap() {
                Frame::Hello(_) => hello(),
                Frame::Call { id, call } => {
                    asked.push(call);
                    let (items, end) = answers.next().unwrap();
                    Frame::Answer { id, items, end: Some(end) }
                }
                other @ (Frame::Answer { .. } | Frame::Cancel { .. } | Frame::Note { .. }) => {
                    panic!("{other:?}")
                }
            };
            io.write_all(&encode(&answer).unwrap()).await.unwrap();
        }
        asked
    }

    /// What is seen of that host, and what it was asked.
    async fn looked(
        call: HostCall,
        known: Known,
        answers: Vec<(Vec<Item>, End)>,
    ) -> (Result<(HostSeen, bool), Problem>, Vec<Call>) {
        let folder = tempfile::tempdir().unwrap();
        let state = Some(folder.path().join("state"));
        let way = Way::of(&Installation::new(Locations { state, ..Locations::default() })).unwrap();
        let limits = LookLimits { wait: 60, memory: 4 };
        let asked = Asked { call, roots: vec!["/srv".to_owned()], limits, known, way };
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let there = tokio::spawn(host(theirs, answers));
        let (read, write) = tokio::io::split(ours);
        let (mut link, _) = Link::open(read, write, &[1; 32], Duration::from_secs(60)).await.unwrap();
        let telling = Telling::nobody("web-1");
        let (values, scans) = (BTreeMap::new(), Vec::new());
        let mut session =
            Session { asked: &asked, name: "web-1", telling: &telling, link: &mut link, values, scans };
        let seen = session.look().await;
        drop(link);
        (seen, there.await.unwrap())
    }

    #[tokio::test]
    async fn a_host_hears_the_names_of_the_values_that_it_has_and_of_no_other() {
        let known = Known::with(&[
            ("first-value", "alpha", 3),
            ("second-value", "beta", 1),
            ("third-value", "gamma", 1),
        ]);
        let value = |id: u32, text: &str| {
            let print = known.key.fingerprint(&SecretBytes::from(text.to_owned()));
            Item::Value { id, print: digits_of(print.as_bytes()) }
        };
        let answers = vec![
            (vec![value(4, "first-value")], End::Done),
            (Vec::new(), End::Done),
            (vec![value(9, "second-value")], End::Done),
            (Vec::new(), End::Done),
            (Vec::new(), End::Done),
        ];
        let (seen, asked) = looked(HostCall::Scan, known, answers).await;
        let (seen, absent) = seen.unwrap();
        assert_eq!((seen.host.as_str(), seen.prints.len(), absent), ("web-1", 2, false));
        assert!(seen.missed.iter().any(|missed| missed.why == "values are not sent to a host"));
        let [look, first, memory, second, scan] = asked.as_slice() else { panic!("{asked:?}") };
        assert!(matches!(look, Call::Look { roots, wait_s: 60, .. } if roots == &["/srv"]), "{look:?}");
        assert_eq!((memory, scan), (&Call::Memory { gib: 4, wait_s: 60 }, &Call::Scan));
        let names = |call: &Call| -> Vec<(String, Vec<u32>)> {
            let Call::Name { managed, .. } = call else { panic!("{call:?}") };
            managed.iter().map(|one| (one.name.clone(), one.versions[0].values.clone())).collect()
        };
        let pair = |name: &str, id: u32| (name.to_owned(), vec![id]);
        assert_eq!(names(first), [pair("alpha", 4)]);
        assert_eq!(names(second), [pair("alpha", 4), pair("beta", 9)]);
        assert!(!format!("{asked:?}").contains("gamma"));
    }

    #[tokio::test]
    async fn of_a_host_without_the_secret_no_memory_is_searched_and_what_is_not_visible_is_told() {
        let failed = End::Failed {
            code: "K0805".to_owned(),
            attempted: "find the secret".to_owned(),
            causes: vec![super::super::meant::UNKNOWN.to_owned()],
            help: None,
        };
        let trace = HostCall::Trace { secret: "openai".to_owned(), evidence: true };
        let missed = Missed { what: "/srv/api".to_owned(), why: "permission denied".to_owned() };
        let in_part = vec![Item::Missed(missed.clone()), Item::Refused];
        let answers = vec![(Vec::new(), End::Done), (Vec::new(), failed), (in_part, End::Done)];
        let (seen, asked) = looked(trace, Known::with(&[]), answers).await;
        let (seen, absent) = seen.unwrap();
        assert!(absent && seen.report == HostReport::Trace(None) && seen.refused);
        assert_eq!(seen.missed, [missed]);
        assert!(matches!(asked.as_slice(), [Call::Look { .. }, Call::Trace { .. }, Call::Scan]), "{asked:?}");
    }

    #[tokio::test]
    async fn a_secret_of_a_host_is_a_configured_one_only_by_a_value_that_the_host_shows() {
        let known = Known::with(&[("first-value", "alpha", 3), ("second-value", "beta", 1)]);
        let print = known.key.fingerprint(&SecretBytes::from("first-value".to_owned()));
        let value = Item::Value { id: 4, print: digits_of(print.as_bytes()) };
        let draft = |secret: &str, values: &[u32]| {
            Item::Draft(Box::new(DraftShown {
                secret: secret.to_owned(),
                name: secret.to_owned(),
                managed: true,
                values: values.to_vec(),
                differ: false,
                issuer: None,
                title: None,
                consumers: Vec::new(),
                used: true,
                left: Vec::new(),
            }))
        };
        let claims = vec![draft("alpha", &[4]), draft("beta", &[]), draft("beta", &[4, 9])];
        let answers = vec![
            (vec![value], End::Done),
            (Vec::new(), End::Done),
            (Vec::new(), End::Done),
            (claims, End::Done),
        ];
        let call = HostCall::Draft { secrets: Vec::new(), folders: BTreeMap::new() };
        let (seen, _) = looked(call, known, answers).await;
        let HostReport::Draft(report) = seen.unwrap().0.report else { panic!("it is another report") };
        assert_eq!(report.drafts.iter().map(|draft| draft.managed).collect::<Vec<_>>(), [true, false, false]);
        assert!(report.stored.is_some_and(|stored| stored.contains("beta")));
    }

    #[test]
    fn the_labels_of_a_report_lead_to_the_fingerprints_of_its_values() {
        let print = |byte: u8| Fingerprint::from_bytes([byte; 32]);
        let shown =
            [(print(1), "9f3c21d07a11".to_owned()), (print(2), "02".repeat(32)), (print(3), "03".repeat(32))];
        let value = |label: &str| ValueShown { label: label.to_owned(), version: None, state: None };
        let found = FoundShown {
            secret: "openai".to_owned(),
            managed: true,
            values: ["sk-…·9f3c21", "…·020202", "…·777777", "…·0"].map(value).to_vec(),
            copies: Vec::new(),
            used_by: Vec::new(),
            shared: false,
            risks: Vec::new(),
            pods_hidden: false,
            risk: String::new(),
        };
        let report = HostReport::Scan(ScanReport {
            found: vec![found],
            instances: Vec::new(),
            stores: Vec::new(),
            differs: None,
            missed: Vec::new(),
            refused: false,
        });
        let (prints, named) = labelled(&shown, &report);
        let of = |all: &ByPrint, byte: u8| all.get(&[byte; 32]).cloned().unwrap_or_default();
        assert_eq!([1, 2, 3].map(|byte| of(&prints, byte)), ["sk-…·9f3c21", "…·020202", "…·030303"]);
        // The last label fits two values: it names neither.
        assert_eq!([1, 2, 3].map(|byte| of(&named, byte)), ["openai", "openai", ""]);
    }
}
