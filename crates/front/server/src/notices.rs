//! Notices: each thing that somebody must know is told to each recipient once, again while it stands, and when it is over.
//!
//! What was told to whom stands in `notices.json`, written after each delivery: a server that is killed in between tells a
//! thing twice, with the same id, and never loses one. What is told is derived anew at each look ([`conditions`]), so a
//! thing that is over before it was told is not told at all.

mod conditions;
mod deliver;
mod ledger;
mod mail;
mod notice;
mod webhook;

pub(crate) use notice::rfc3339;

use std::sync::Arc;
use std::time::Duration;

use keyroll_app::problem::Problem;
use keyroll_app::wall_clock;
use keyroll_codes::Code;
use keyroll_config::Recipient;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::conditions::{Condition, conditions};
use self::deliver::deliver;
use self::ledger::{Ledger, Step};
use self::notice::{Notice, Undelivered};
use crate::log::News;
use crate::server::Server;

/// How often it is looked whether something must be told.
const LOOK: Duration = Duration::from_secs(5);
/// How often keyroll may fail to see how things are before that itself is told.
const BLIND_MAX: u32 = 3;

/// What is known from one look to the next.
#[derive(Default)]
struct Teller {
    recipients: Vec<Recipient>,
    /// Read once: a file that cannot be written makes nothing come twice while the server runs.
    ledger: Option<Ledger>,
    /// What stood at the last look.
    last: Vec<Condition>,
    /// How often in a row keyroll could not see how things are, and why.
    blind: u32,
}

/// Tells what must be told, for as long as the server runs.
pub(crate) async fn keep(server: Arc<Server>) {
    let (mut teller, mut news) = (Teller::default(), News::default());
    loop {
        let why = teller.round(&server).await.err();
        if news.is(why.as_deref()) {
            server.log(&format!("the notices: {}", why.unwrap_or_default()));
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl Teller {
    /// One look. The error is for the log: everything that could be sent was sent.
    async fn round(&mut self, server: &Arc<Server>) -> Result<(), String> {
        let mut wrong = self.look(server).await.err();
        if self.recipients.is_empty() {
            return wrong.map_or(Ok(()), Err);
        }
        let mut now = self.last.clone();
        if let Some(why) = wrong.as_ref().filter(|_| self.blind >= BLIND_MAX) {
            now.push(Condition::blind(why));
        }
        let ledger = match &mut self.ledger {
            Some(ledger) => ledger,
            None => {
                let path = server.blocking(|installation| Ok(installation.places()?.notices())).await;
                let (ledger, said) = Ledger::read(&path.map_err(|problem| problem.sentence())?);
                said.into_iter().for_each(|said| server.log(&said));
                self.ledger.insert(ledger)
            }
        };
        ledger.keep_only(&self.recipients);
        let mut tellings = JoinSet::new();
        let (tell, mut told) = mpsc::unbounded_channel();
        for (at, to) in self.recipients.iter().enumerate() {
            let steps = ledger.steps(to, &now, wrong.is_none(), now_s());
            server.counters.pending(to.name.as_str(), ledger.waiting(to));
            if !steps.is_empty() {
                tellings.spawn(tell_all(at, to.clone(), steps, tell.clone()));
            }
        }
        drop(tell);
        // Written after each delivery, so that a server that is killed sends as little as possible twice.
        while let Some((at, step, sent)) = told.recv().await {
            let Some(to) = self.recipients.get(at) else { continue };
            said(server, to.name.as_str(), &step.notice, &sent);
            ledger.told(to, &step, &sent, now_s());
            wrong = ledger.write().err().or(wrong);
        }
        wrong = ledger.write().err().or(wrong);
        wrong.map_or(Ok(()), Err)
    }

    /// What stands now. What could not be seen is as it was: neither over nor new.
    async fn look(&mut self, server: &Server) -> Result<(), String> {
        let recipients = server.blocking(|installation| {
            Ok(installation.config()?.server.map(|server| server.notices).unwrap_or_default())
        });
        let seen = match recipients.await {
            Ok(recipients) => {
                self.recipients = recipients;
                // Nobody asks what stands.
                if self.recipients.is_empty() {
                    return Ok(());
                }
                server.upkeep().await
            }
            Err(problem) => Err(problem),
        };
        match seen {
            Ok(seen) => {
                self.blind = 0;
                self.last = conditions(&seen, |secret| server.drives.is_driven(secret));
                Ok(())
            }
            Err(problem) => {
                self.blind = self.blind.saturating_add(1);
                Err(problem.sentence())
            }
        }
    }
}

type Sent = (usize, Step, Result<(), Undelivered>);

/// Sends to one recipient, one after the other, until it does not answer.
async fn tell_all(at: usize, to: Recipient, steps: Vec<Step>, tell: mpsc::UnboundedSender<Sent>) {
    for step in steps {
        let sent = deliver(&to, &step.notice).await;
        let goes_on = !matches!(sent, Err(Undelivered::Later(_)));
        if tell.send((at, step, sent)).is_err() || !goes_on {
            return;
        }
    }
}

fn said(server: &Server, name: &str, notice: &Notice, sent: &Result<(), Undelivered>) {
    server.counters.notice(name, sent.is_ok());
    match sent {
        Ok(()) => server.log(&format!("notice to {name}: {} ({})", notice.text, notice.state)),
        Err(Undelivered::Later(why) | Undelivered::Never(why)) => {
            server.log(&format!("the notice {} could not be sent to {name}: {why}", notice.id));
        }
    }
}

fn now_s() -> u64 {
    u64::try_from(wall_clock::now().timestamp().as_second()).unwrap_or_default()
}

/// A recipient, and whether it took the test; why not.
pub type Tested = (String, Result<(), String>);

/// Sends a test to each recipient, or to the one that is named, and returns what each said.
///
/// # Errors
/// `K0954`: no recipient is configured, or none has this name.
pub fn test_notices(config: &keyroll_config::Server, name: Option<&str>) -> Result<Vec<Tested>, Problem> {
    let failed = || Problem::new(Code::NoticeNotSent, "send a test notice");
    let named: Vec<&Recipient> =
        config.notices.iter().filter(|one| name.is_none_or(|name| one.name.as_str() == name)).collect();
    if named.is_empty() {
        let names: Vec<&str> = config.notices.iter().map(|one| one.name.as_str()).collect();
        let why = match names.as_slice() {
            [] => "keyroll.toml names no recipient".to_owned(),
            names => format!("no recipient has this name; the recipients are: {}", names.join(", ")),
        };
        return Err(failed()
            .because(why)
            .help("add: [server.notices.NAME], webhook = \"file:./NAME.url\" (or slack, or smtp)"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed().because_of(&error))?;
    let send = |to: &Recipient| {
        let sent = runtime.block_on(deliver(to, &Notice::test(now_s())));
        let sent = sent.map_err(|why| match why {
            Undelivered::Later(why) | Undelivered::Never(why) => why,
        });
        (to.name.to_string(), sent)
    };
    Ok(named.into_iter().map(send).collect())
}
