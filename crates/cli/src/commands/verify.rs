use std::sync::Arc;

use keyroll_port::{Issuer, Label, Probe, Store as _};

use crate::args::VerifyArgs;
use crate::context::{Context, secret};
use crate::exit::Exit;
use crate::problem::Problem;
use crate::redact;
use crate::ui::{Event, Finding};
use crate::wiring::{self, open};

/// Asks the issuer whether each version of a secret is alive. A wrong credential is asked about first: a call that
/// accepts it can show nothing. What is not as it should be ends it with 3.
pub(super) fn run(args: &VerifyArgs, context: &mut Context) -> Result<Exit, Problem> {
    let config = context.config()?;
    let secret = secret(&config, &args.secret)?;
    let places = context.places()?;
    let name = secret.name.as_str();
    let issuer = wiring::issuer(secret)?;
    let runtime = open::runtime()?;
    let store = open::store(&places)?;
    let mut current = None;
    let mut versions = Vec::new();
    for info in runtime.block_on(wiring::kept(store.as_ref(), name))? {
        if let Some(credential) = runtime.block_on(store.read(name, info.number))? {
            redact::remember_fields(&credential.fields);
            if info.label == Label::Current {
                current = Some(credential.duplicate());
            }
            versions.push((info, credential));
        }
    }
    let current = current.ok_or_else(|| {
        Problem::new("K0816", format!("verify {name}"))
            .because("its value was never taken in")
            .help(format!("keyroll secret add {name}"))
    })?;
    let mut bad = false;
    for endpoint in issuer.endpoints() {
        let control = runtime.block_on(issuer.probe(&endpoint, &issuer.decoy(&current)));
        bad |= show(context, format!("{name} control at {endpoint}"), &control, false);
        for (info, credential) in &versions {
            let answer = runtime.block_on(ask(&issuer, &endpoint, credential));
            let what = format!("{name} v{} {} at {endpoint}", info.number, wiring::label(info.label));
            bad |= show(context, what, &answer, info.label == Label::Current);
        }
    }
    Ok(if bad { Exit::Findings } else { Exit::Done })
}

async fn ask(issuer: &Arc<dyn Issuer>, endpoint: &str, credential: &keyroll_secret::Credential) -> Probe {
    issuer.probe(endpoint, credential).await
}

/// Shows one answer; whether it is another than it should be. Only the current version must be alive, and only the
/// control must be dead: others are told as they are.
fn show(context: &mut Context, name: String, answer: &Probe, must_live: bool) -> bool {
    let control = name.contains(" control at ");
    let (detail, lives) = match answer {
        Probe::Alive => ("alive".to_owned(), Some(true)),
        Probe::Denied => ("alive: authenticated, and not permitted".to_owned(), Some(true)),
        Probe::Dead => ("dead".to_owned(), Some(false)),
        Probe::Unknown(why) => (format!("unknown: {why}"), None),
    };
    let bad = match lives {
        Some(lives) => (must_live && !lives) || (control && lives),
        None => must_live || control,
    };
    let help = match (bad, control) {
        (true, true) => {
            Some("this call cannot show that a credential is dead: look at the issuer's spec".to_owned())
        }
        (true, false) => Some("ask again; keyroll plan shows how a dead value is replaced".to_owned()),
        (false, _) => None,
    };
    let finding = match (bad, must_live || control) {
        (true, _) => Finding::Bad,
        (false, true) => Finding::Good,
        (false, false) => Finding::Note,
    };
    context.ui.event(Event::Check { name, finding, detail, help });
    bad
}
