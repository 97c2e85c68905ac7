//! The preflight where another party changes the passwords: keyroll changes nothing at the server, and looks whether a
//! rotation between the two login roles can be seen there.

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};

use crate::postgres::catalogue::{self, Catalogue, Role};
use crate::postgres::link::PostgresError;
use crate::postgres::options::{ChangedBy, Options};
use crate::postgres::preflight::{
    check_hba, check_rights, check_second_key, check_server, check_session_user, control, note_of_others,
    note_of_room, notes_of_poolers,
};
use crate::postgres::quote::{identifier, literal};
use crate::postgres::server::Server;
use crate::postgres::settings::{self, Setting};
use crate::postgres::work::Work;

/// Source: <https://developer.hashicorp.com/vault/api-docs/secret/databases/postgresql#password_authentication>.
const LOUD: &str = "the server logs statements, or keeps them in pg_stat_statements: the new password will be there, unless `password_authentication` of the \
                    database connection in Vault is scram-sha-256";

/// Checks everything that can be refused before the other party changes a password, and returns notes for the operator.
/// Wrong passwords are tried.
pub(crate) async fn run(server: &Server, current: &str, idle: &str) -> Result<Vec<String>, Failure> {
    let options = &server.options;
    let work = Work::open(server).await?;
    check_server(&work).await?;
    check_rights(&work, options, ChangedBy::Another).await?;
    let is_loud = work.is_loud().await?;
    let read = |fault: PostgresError| work.failed(&fault, "read the roles");
    let roles = catalogue::read(work.link(), options, current).await.map_err(read)?;
    let (used, next) = (check_login(&roles, options, current)?, check_login(&roles, options, idle)?);
    check_second_key(&roles, options, current, idle)?;
    check_settings(&work, current, idle).await?;
    let mut notes = notes_of_limits(used, next);
    if is_loud {
        notes.push(LOUD.to_owned());
    }
    notes.extend(note_of_others(&roles, options, current));
    notes.extend(check_hba(&work, options, current, idle).await?);
    notes.extend(check_session_user(&work).await?);
    notes.extend(note_of_room(&work, &roles, current).await?);
    work.close().await;
    notes.extend(notes_of_poolers(server, current).await?);
    for role in [current, idle] {
        control(server, role).await?;
    }
    Ok(notes)
}

/// A login role must exist, be able to log in, and have sessions with the rights of the owner.
fn check_login<'a>(roles: &'a Catalogue, options: &Options, name: &str) -> Result<&'a Role, Failure> {
    let owner = options.owner_role.as_str();
    let refuse = |code: Code, why: String, help: String| {
        let attempted = format!("let the login role {name:?} take turns under the owner role {owner:?}");
        Err(Failure::new(Class::Permanent, code, attempted).because(why).help(help))
    };
    let login = identifier(name);
    let join =
        format!("GRANT {} TO {login}; ALTER ROLE {login} SET role TO {}", identifier(owner), literal(owner));
    if roles.role(owner).is_none() {
        let help = "name the role that owns the objects in owner_role".to_owned();
        return refuse(Code::IssuerSettingsInvalid, "the owner role does not exist".to_owned(), help);
    }
    let Some(role) = roles.role(name) else {
        let help = format!("CREATE ROLE {login} LOGIN; {join}; then make its static role in Vault");
        return refuse(Code::IssuerSettingsInvalid, "no such role exists".to_owned(), help);
    };
    if role.superuser || role.replication {
        let why = "it is a superuser or a replication role: the other login does not have its rights";
        let help = "let consumers use a plain login role".to_owned();
        return refuse(Code::IssuerSettingsInvalid, why.to_owned(), help);
    }
    if !role.can_login {
        let help = format!("ALTER ROLE {login} LOGIN");
        return refuse(Code::LoginRightsDiffer, "it cannot log in".to_owned(), help);
    }
    if name == owner {
        return match role.default_role.as_deref().filter(|becomes| *becomes != owner) {
            None => Ok(role),
            Some(becomes) => {
                let why = format!("its sessions become {becomes:?}");
                refuse(Code::LoginRightsDiffer, why, format!("ALTER ROLE {login} RESET role"))
            }
        };
    }
    if !role.member {
        return refuse(Code::LoginRightsDiffer, "it is no member of the owner role".to_owned(), join);
    }
    if role.default_role.as_deref() != Some(owner) {
        let help = format!("ALTER ROLE {login} SET role TO {}", literal(owner));
        let why = "its sessions do not become the owner role".to_owned();
        return refuse(Code::LoginRightsDiffer, why, help);
    }
    Ok(role)
}

/// Membership does not carry the settings of a role. Nobody copies them here, so they must be the same.
async fn check_settings(work: &Work<'_>, current: &str, idle: &str) -> Result<(), Failure> {
    let read = |fault: PostgresError| work.failed(&fault, "read the settings of the roles");
    let used = settings::read(work.link(), current).await.map_err(read)?;
    let next = settings::read(work.link(), idle).await.map_err(read)?;
    let names = differing(&used, &next);
    if names.is_empty() {
        return Ok(());
    }
    let attempted = format!("use the login role {idle:?} in place of {current:?}");
    Err(Failure::new(Class::Permanent, Code::LoginRightsDiffer, attempted)
        .because(format!("their settings differ: {}", names.join(", ")))
        .help("give both the same with ALTER ROLE … SET and RESET; psql lists them with \\drds"))
}

/// The settings that only one of the two has, or that have another value there; by name, because a value may be a secret.
fn differing(one: &[Setting], two: &[Setting]) -> Vec<String> {
    let alone = |these: &[Setting], those: &[Setting]| -> Vec<String> {
        these.iter().filter(|setting| !those.contains(setting)).map(Setting::describe).collect()
    };
    let mut names = [alone(one, two), alone(two, one)].concat();
    names.sort();
    names.dedup();
    names
}

/// What the server allows one login and not the other, and when it ends.
fn notes_of_limits(used: &Role, next: &Role) -> Vec<String> {
    let mut notes = Vec::new();
    if used.connection_limit != next.connection_limit {
        let limit = |role: &Role| match role.connection_limit {
            limit @ 0.. => format!("{limit} connections"),
            _ => "any number of connections".to_owned(),
        };
        notes.push(format!("{:?} may have {}, and {:?} {}", used.name, limit(used), next.name, limit(next)));
    }
    for role in [used, next] {
        if let Some(until) = &role.valid_until {
            notes.push(format!(
                "{:?} is valid until {until}: then the server refuses its password",
                role.name
            ));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Mark;

    fn role(name: &str, connection_limit: i32, valid_until: Option<&str>) -> Role {
        Role {
            name: name.to_owned(),
            can_login: true,
            superuser: false,
            replication: false,
            connection_limit,
            valid_until: valid_until.map(str::to_owned),
            comment: Mark::Foreign,
            default_role: None,
            member: true,
            has_password: None,
            sessions: 0,
        }
    }

    #[test]
    fn limits_that_differ_are_noted() {
        let (one, two) = (role("orders_a", 7, None), role("orders_b", -1, Some("2099-01-02 03:04:05+00")));
        assert_eq!(
            notes_of_limits(&one, &two),
            [
                "\"orders_a\" may have 7 connections, and \"orders_b\" any number of connections",
                "\"orders_b\" is valid until 2099-01-02 03:04:05+00: then the server refuses its password",
            ]
        );
        assert!(notes_of_limits(&one, &role("orders_b", 7, None)).is_empty());
    }
}
