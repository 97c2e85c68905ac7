use keyroll_config::Secret;
use keyroll_port::{Journal as _, RotationId};

use crate::args::{RevocableVersion, RevokeArgs};
use crate::context::{Context, consent, secret};
use crate::driving::rotate::{self, Asked};
use crate::driving::split;
use crate::exit::Exit;
use crate::problem::Problem;
use crate::records::recorded;
use crate::records::versions::versions;
use crate::ui::Answer;
use crate::wiring::open;

/// Ends an old version that a rotation left alive (a debt), or the current one of a secret whose consumers have keys of
/// their own. Any other is ended by rotating: without the gate nobody has shown that it is not needed.
pub(super) fn run(args: &RevokeArgs, context: &mut Context) -> Result<Exit, Problem> {
    let config = context.config()?;
    let secret = secret(&config, &args.secret)?;
    let name = secret.name.as_str();
    consent(args.confirm.as_deref(), name)?;
    match args.version {
        RevocableVersion::Previous => {}
        RevocableVersion::Current => return current(args, secret, context),
    }
    let id = owed(context, name)?.ok_or_else(|| {
        Problem::new("K0817", format!("revoke the previous version of {name}"))
            .because("no rotation has left one alive")
            .help(format!(
                "keyroll verify {name} shows which versions are alive; keyroll plan {name} ends the current"
            ))
    })?;
    if args.confirm.is_none() {
        match context.ui.ask_name(&format!("END the previous key of {name}? IRREVERSIBLE."), name) {
            Answer::Yes => {}
            answer @ (Answer::No | Answer::Nobody | Answer::Stopped) => {
                return Err(Problem::new("K0808", format!("revoke the previous version of {name}"))
                    .because(answer.refusal())
                    .help(format!("keyroll revoke {name} --version previous --confirm={name}"))
                    .exits(answer.exit()));
            }
        }
    }
    let asked = Asked { confirm: Some(name.to_owned()), ..Asked::default() };
    rotate::resume(Some(&id.0), &asked, rotate::resumed, context)
}

/// A rotation without a new key: behind the gate, with everybody who shared the key as its consumers.
fn current(args: &RevokeArgs, secret: &Secret, context: &mut Context) -> Result<Exit, Problem> {
    let (places, name) = (context.places()?, secret.name.as_str());
    let problem = |why: String| Problem::new("K0877", format!("end the current key of {name}")).because(why);
    if let Some(consumer) = secret.consumers.first() {
        return Err(problem(format!("{} uses it, by the configuration", consumer.name)).help(format!(
            "keyroll plan {name} replaces it, keyroll split {name} gives each a key of its own"
        )));
    }
    let versions = versions(&places, secret)?;
    // The newest may be one that was rolled back.
    let current = versions.iter().find(|version| version.label == "current");
    let version = current.and_then(|current| u32::try_from(current.version).ok()).unwrap_or(0);
    let members = split::members(name, version, &places)?;
    if members.is_empty() {
        return Err(problem("no other key of it is known beside which it could be seen dead".to_owned())
            .help("end it at the issuer's console, if nobody needs it"));
    }
    let asked = Asked { confirm: args.confirm.clone(), ..Asked::default() };
    split::end((name, version), (&members, None), &asked, context)
}

/// The newest rotation of the secret that owes the end of its old key.
fn owed(context: &Context, name: &str) -> Result<Option<RotationId>, Problem> {
    let places = context.places()?;
    if !places.journal().exists() {
        return Ok(None);
    }
    let reading = |error| Problem::new("K0835", "read the rotations").because_of(&error);
    let runtime = open::runtime()?;
    let journal = open::journal(&places)?;
    for overview in runtime.block_on(journal.list()).map_err(reading)? {
        if overview.secret == name {
            let recorded = runtime.block_on(journal.load(&overview.id)).map_err(reading)?;
            if recorded::state_of(&recorded)?.debt().is_some() {
                return Ok(Some(overview.id));
            }
        }
    }
    Ok(None)
}
