use crate::id::{Mark, is_ambiguous};
use crate::password;
use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;

use crate::postgres::catalogue::{self, Catalogue, Role};
use crate::postgres::link::PostgresError;
use crate::postgres::options::Options;
use crate::postgres::quote::{identifier, literal};
use crate::postgres::settings;
use crate::postgres::verifier;
use crate::postgres::work::Work;

/// The inputs of a mint.
pub(crate) struct Mint<'a> {
    /// The login role that gets the new password.
    pub(crate) slot: &'a str,
    /// The login role that consumers use now; its settings are copied.
    pub(crate) current: &'a str,
    /// The label.
    pub(crate) label: &'a str,
    /// The new password.
    pub(crate) password: &'a SecretBytes,
    /// Whether a login showed that the slot already accepts this password; needed if the verifier cannot be read.
    pub(crate) accepted: bool,
}

impl Mint<'_> {
    /// Makes the slot a login of the owner role with this password, in the open transaction: the commit makes all
    /// changes or none. Repeating it changes nothing.
    pub(crate) async fn apply(&self, work: &Work<'_>, options: &Options) -> Result<(), Failure> {
        let read = |fault: PostgresError| work.failed(&fault, "read the roles");
        let roles = catalogue::read(work.link(), options, self.current).await.map_err(read)?;
        check_current(&roles, options, self.current)?;
        check_slot(&roles, options, self.slot, self.label)?;
        let Some(current) = roles.role(self.current) else {
            return Err(gone(self.current));
        };
        let present = roles.role(self.slot);
        for (statement, step) in self.shape(options, present) {
            work.run(&statement, step).await?;
        }
        self.copy_settings(work).await?;
        let secret = if self.keeps_password(work, present).await? {
            String::new()
        } else {
            let verifier = verifier::verifier(self.password).ok_or_else(password::no_randomness)?;
            format!(" PASSWORD {}", literal(&verifier))
        };
        let until = current.valid_until.as_deref().unwrap_or("infinity");
        let login = format!(
            "ALTER ROLE {} WITH LOGIN CONNECTION LIMIT {} VALID UNTIL {}{secret}",
            identifier(self.slot),
            current.connection_limit,
            literal(until)
        );
        work.run(&login, "set the new login role's password").await?;
        let comment = format!("COMMENT ON ROLE {} IS {}", identifier(self.slot), literal(self.label));
        work.run(&comment, "label the new login role").await
    }

    fn shape(&self, options: &Options, present: Option<&Role>) -> Vec<(String, &'static str)> {
        let (slot, owner) = (identifier(self.slot), identifier(&options.owner_role));
        let mut statements = Vec::new();
        if present.is_none() {
            let create = format!(
                "CREATE ROLE {slot} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION INHERIT"
            );
            statements.push((create, "create the login role"));
        }
        if !present.is_some_and(|role| role.member) {
            statements
                .push((format!("GRANT {owner} TO {slot}"), "make the login role a member of its owner"));
        }
        if present.and_then(|role| role.default_role.as_ref()) != Some(&options.owner_role) {
            let become_owner = format!("ALTER ROLE {slot} SET role TO {}", literal(&options.owner_role));
            statements.push((become_owner, "let the login role's sessions become the owner"));
        }
        statements
    }

    async fn copy_settings(&self, work: &Work<'_>) -> Result<(), Failure> {
        let read = |fault: PostgresError| work.failed(&fault, "read the settings of the roles");
        let wanted = settings::read(work.link(), self.current).await.map_err(read)?;
        let present = settings::read(work.link(), self.slot).await.map_err(read)?;
        for statement in settings::statements(self.slot, &present, &wanted) {
            work.link().run(&statement).await.map_err(|fault| {
                let names: Vec<_> = wanted.iter().map(settings::Setting::describe).collect();
                fault
                    .without_words(
                        Code::LoginRightsDiffer,
                        format!("copy a setting of the role {:?}", self.current),
                    )
                    .help(format!("an admin with the right to set {} is needed", names.join(", ")))
            })?;
        }
        Ok(())
    }

    /// Whether the slot holds a verifier of this password already.
    async fn keeps_password(&self, work: &Work<'_>, present: Option<&Role>) -> Result<bool, Failure> {
        let ours = Mark::Ours(self.label.to_owned());
        if !present.is_some_and(|role| role.comment == ours) {
            return Ok(false);
        }
        let read = |fault: PostgresError| work.failed(&fault, "read the stored verifier");
        if !catalogue::sees_passwords(work.link()).await.map_err(read)? {
            return Ok(self.accepted);
        }
        let stored = "SELECT rolpassword FROM pg_authid WHERE rolname::text = $1 AND rolpassword IS NOT NULL";
        let rows = work.link().rows(stored, &[&self.slot]).await.map_err(read)?;
        Ok(rows.first().is_some_and(|row| verifier::matches(row.get(0), self.password)))
    }
}

/// The current login must be the owner itself (the first rotation adopts it) or one whose sessions become the owner.
pub(crate) fn check_current(roles: &Catalogue, options: &Options, current: &str) -> Result<(), Failure> {
    let refuse = |why: String, help: String| {
        let attempted =
            format!("rotate the login role {current:?} under the owner role {:?}", options.owner_role);
        Err(Failure::new(Class::Permanent, Code::IssuerSettingsInvalid, attempted).because(why).help(help))
    };
    let Some(role) = roles.role(current) else {
        return Err(gone(current));
    };
    if is_ambiguous(current) {
        return refuse(
            "its name looks like the name of another role followed by a label".to_owned(),
            "ALTER ROLE … RENAME, and change the field `user` with it".to_owned(),
        );
    }
    if role.superuser || role.replication {
        return refuse(
            "it is a superuser or a replication role: its rights would not pass to a member".to_owned(),
            format!("let consumers use a plain login role (ALTER ROLE {current:?})"),
        );
    }
    if roles.role(&options.owner_role).is_none() {
        return refuse(
            "the owner role does not exist".to_owned(),
            format!("set owner_role = {current:?} in the configuration, if that role owns the objects"),
        );
    }
    let becomes_owner = role.member && role.default_role.as_ref() == Some(&options.owner_role);
    if current != options.owner_role && !becomes_owner {
        return refuse(
            "it is neither the owner role nor a member whose sessions become it (ALTER ROLE … SET role)"
                .to_owned(),
            format!("set owner_role = {current:?} in the configuration, if that role owns the objects"),
        );
    }
    Ok(())
}

/// The slot must be unused, as the server shows it, or have exactly the credential that was minted under this label.
pub(crate) fn check_slot(
    roles: &Catalogue,
    options: &Options,
    slot: &str,
    label: &str,
) -> Result<(), Failure> {
    let refuse = |code: Code, why: String, help: String| {
        let attempted = format!("mint into the slot {slot:?}");
        Err(Failure::new(Class::Permanent, code, attempted).because(why).help(help))
    };
    let Some(role) = roles.role(slot) else { return Ok(()) };
    let why = match &role.comment {
        Mark::Ended(ended) if ended == label => {
            let help = "start another rotation: a label is minted once".to_owned();
            return refuse(Code::LoginReplaced, format!("{label} was minted here and revoked"), help);
        }
        Mark::Ours(ours) if ours == label => return Ok(()),
        _ if role.superuser || role.replication => "it is a superuser or a replication role".to_owned(),
        Mark::Foreign if !role.member => {
            format!(
                "a role of this name exists and is no member of {:?}: it is somebody else's",
                options.owner_role
            )
        }
        _ if role.sessions > 0 => format!("it has {} live sessions", role.sessions),
        Mark::Ours(ours) if !role.is_off() => format!("it can log in, with what {ours} minted"),
        Mark::Foreign | Mark::Ended(_) if !role.is_off() => {
            "it can log in, with a password that keyroll did not make".to_owned()
        }
        Mark::Foreign | Mark::Ours(_) | Mark::Ended(_) => return Ok(()),
    };
    let help = format!("if nothing uses it: ALTER ROLE {} NOLOGIN, and end its sessions", identifier(slot));
    refuse(Code::LoginSlotTaken, why, help)
}

fn gone(current: &str) -> Failure {
    Failure::new(Class::Permanent, Code::IssuerSettingsInvalid, format!("rotate the login role {current:?}"))
        .because("no such role exists")
        .help("check the field `user` of the secret")
}
