use keyroll_app::configured::{consent, secret};
use keyroll_app::exit::Exit;
use keyroll_app::operator::Confirmation;
use keyroll_app::problem::Problem;
use keyroll_app::records::open_rotation_guard::owing_rotation;
use keyroll_app::records::versions::versions;
use keyroll_app::session::options::ApplyOptions;
use keyroll_app::session::split::SharedKey;
use keyroll_app::session::{rotate, split};
use keyroll_codes::Code;
use keyroll_config::Secret;

use crate::args::{RevocableVersion, RevokeArgs};
use crate::context::Context;

/// Revokes an old version that a rotation left alive (a debt), or the current version of a secret whose consumers have
/// keys of their own. Every other version is revoked by a rotation, whose gate proves that it is not needed.
pub(super) fn run(args: &RevokeArgs, context: &mut Context) -> Result<Exit, Problem> {
    let config = context.installation.config()?;
    let secret = secret(&config, &args.secret)?;
    let name = secret.name.as_str();
    consent(args.confirm.as_deref(), name)?;
    match args.version {
        RevocableVersion::Previous => {}
        RevocableVersion::Current => return current(args, secret, context),
    }
    let id = owing_rotation(name, &context.installation.places()?)?.ok_or_else(|| {
        Problem::new(Code::NothingToRevoke, format!("revoke the previous version of {name}"))
            .because("no rotation left a previous version alive")
            .help(format!(
                "keyroll verify {name} shows which versions are alive; keyroll plan {name} replaces the \
                 current one"
            ))
    })?;
    if args.confirm.is_none() {
        match context.ui.ask_name(&format!("REVOKE the previous key of {name}? IRREVERSIBLE."), name) {
            Confirmation::Yes => {}
            answer @ (Confirmation::No | Confirmation::Nobody | Confirmation::Stopped) => {
                return Err(Problem::new(Code::UsageWrong, format!("revoke the previous version of {name}"))
                    .because(answer.refusal())
                    .help(format!("keyroll revoke {name} --version previous --confirm={name}"))
                    .exits(answer.exit()));
            }
        }
    }
    let asked = ApplyOptions { confirm: Some(name.to_owned()), ..ApplyOptions::default() };
    rotate::resume(Some(&id.0), &asked, rotate::resumed, &context.installation, &mut context.ui)
}

/// Starts a rotation without a new key, with all former consumers of the shared key, behind the gate.
fn current(args: &RevokeArgs, secret: &Secret, context: &mut Context) -> Result<Exit, Problem> {
    let (places, name) = (context.installation.places()?, secret.name.as_str());
    let problem = |why: String| {
        Problem::new(Code::NothingToRevoke, format!("revoke the current key of {name}")).because(why)
    };
    if let Some(consumer) = secret.consumers.first() {
        return Err(problem(format!("{} uses it, according to the configuration", consumer.name)).help(
            format!("keyroll plan {name} replaces it, keyroll split {name} gives each consumer its own key"),
        ));
    }
    let versions = versions(&places, secret)?;
    // The newest version may be one that was rolled back.
    let current = versions.iter().find(|version| version.label == "current");
    let version = current.and_then(|current| u32::try_from(current.version).ok()).unwrap_or(0);
    let members = split::members(name, version, &places)?;
    if members.is_empty() {
        return Err(problem(
            "no other key is known, and without an accepted key its death cannot be proved".to_owned(),
        )
        .help("revoke it at the issuer's console, if nothing needs it"));
    }
    let asked = ApplyOptions { confirm: args.confirm.clone(), ..ApplyOptions::default() };
    let key = SharedKey { secret: name, version, members: &members, split: None };
    split::end(&key, &asked, &context.installation, &mut context.ui)
}
