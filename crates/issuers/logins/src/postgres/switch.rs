use crate::id::{self, Mark, Standing};
use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::CredentialId;

use crate::postgres::catalogue::{self, Role};
use crate::postgres::link::PostgresError;
use crate::postgres::quote::{identifier, literal};
use crate::postgres::server::Server;
use crate::postgres::work::Work;

/// A change of one credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    /// NOLOGIN: new connections are refused; open sessions continue.
    Off,
    /// LOGIN again.
    On,
    /// NOLOGIN and PASSWORD NULL, permanently. The role stays, because it may own objects and its name is a slot.
    End,
}

/// Carries out a switch, in a transaction of its own.
pub(crate) async fn apply(server: &Server, id: &CredentialId, switch: Switch) -> Result<(), Failure> {
    let options = &server.options;
    let (name, label) = id::split(id);
    if name == options.admin.user {
        return Err(refuse(switch, id, Code::IssuerSettingsInvalid, "it is keyroll's own login"));
    }
    let work = Work::open(server).await?;
    work.begin().await?;
    let read = |fault: PostgresError| work.failed(&fault, "read the roles");
    let roles = catalogue::read(work.link(), options, name).await.map_err(read)?;
    let Some(role) = roles.role(name) else {
        return match switch {
            Switch::Off | Switch::End => Ok(()),
            Switch::On => Err(refuse(switch, id, Code::LoginReplaced, "no such role exists")),
        };
    };
    if roles.credentials(options).all(|credential| credential.name != name) {
        let why = format!("it is no login of the owner role {:?}", options.owner_role);
        return Err(refuse(switch, id, Code::LoginReplaced, &why));
    }
    match (id::standing(label, &role.comment), switch) {
        (Standing::Gone, Switch::Off | Switch::End) => return Ok(()),
        (Standing::Gone, Switch::On) => {
            return Err(refuse(switch, id, Code::LoginReplaced, "the role carries a later credential"));
        }
        (Standing::Unclear, _) => {
            let why = "the comment that says which credential the role carries was removed or overwritten";
            let restore = label.map_or_else(String::new, |label| comment_sql(name, label));
            return Err(
                refuse(switch, id, Code::LoginReplaced, why).help(format!("if it still is: {restore}"))
            );
        }
        (Standing::Same, _) => {}
    }
    let Some(statements) = statements(role, switch) else {
        return Err(refuse(switch, id, Code::LoginReplaced, "it was revoked: its password is gone"));
    };
    for statement in &statements {
        work.run(statement, switch.attempt()).await?;
    }
    work.commit(&format!("{} {:?}", switch.attempt(), id.as_str())).await
}

/// The statements of a switch; `None` if it would enable a credential that has ended.
pub(crate) fn statements(role: &Role, switch: Switch) -> Option<Vec<String>> {
    let name = identifier(&role.name);
    match switch {
        Switch::Off => Some(vec![format!("ALTER ROLE {name} NOLOGIN")]),
        Switch::On => {
            let ended = matches!(role.comment, Mark::Ended(_)) || role.has_password == Some(false);
            (!ended).then(|| vec![format!("ALTER ROLE {name} LOGIN")])
        }
        Switch::End => {
            let mut statements = vec![format!("ALTER ROLE {name} NOLOGIN PASSWORD NULL")];
            if let Mark::Ours(label) = &role.comment {
                statements.push(comment_sql(&role.name, &id::ended(label)));
            }
            Some(statements)
        }
    }
}

fn comment_sql(role: &str, comment: &str) -> String {
    format!("COMMENT ON ROLE {} IS {}", identifier(role), literal(comment))
}

impl Switch {
    fn attempt(self) -> &'static str {
        match self {
            Self::Off => "disable the login of",
            Self::On => "enable the login of",
            Self::End => "revoke",
        }
    }
}

fn refuse(switch: Switch, id: &CredentialId, code: Code, why: &str) -> Failure {
    let attempted = format!("{} {:?}", switch.attempt(), id.as_str());
    Failure::new(Class::Permanent, code, attempted).because(why.to_owned())
}
