//! What must be true of the static roles before one of them turns, and the words of that.

use keyroll_codes::Code;
use keyroll_port::{Class, Failure, Session};
use keyroll_vault::{RoleState, Turns};

use crate::static_roles::slot::Slot;

/// How long Vault must leave a password alone, seconds: a rotation must end before that.
const ALONE_S_MIN: u64 = 3_600;
/// What leaves enough time to rotate before Vault does, seconds.
const SOON_S: u64 = 30 * 86_400;
/// How many clients one message names.
const CLIENTS_MAX: usize = 5;
/// The setting after which Vault changes a password once a year.
const YEARLY: &str = "rotation_period=8760h";

fn refuse(code: Code, slot: Slot<'_>, why: String, help: String) -> Failure {
    let attempted = format!("rotate {:?} by the static role {}", slot.login, slot.role);
    Failure::new(Class::Permanent, code, attempted).because(why).help(help)
}

/// The credential in use has a login that does not take turns.
pub(crate) fn no_slot(user: &str, slots: &[String; 2]) -> Failure {
    let [one, two] = slots;
    Failure::new(Class::Permanent, Code::IssuerSettingsInvalid, format!("rotate the login {user:?}"))
        .because(format!("it is neither {one:?} nor {two:?}, whose passwords Vault changes"))
        .help(
            "name the login in `slots`, and its static role at the same place of `vault_roles`; or correct the field `user` of \
             the secret",
        )
}

/// The static role must change the password of this login: another login's would be replaced.
pub(crate) fn login(slot: Slot<'_>, username: &str) -> Result<(), Failure> {
    if username == slot.login {
        return Ok(());
    }
    let why = format!("this static role is that of the login {username:?}");
    let help = format!(
        "name the static role of {:?} at its place in `vault_roles`; this command shows the login of a static role: {}",
        slot.login,
        slot.show()
    );
    Err(refuse(Code::IssuerSettingsInvalid, slot, why, help))
}

/// Refuses a static role that makes no passwords, or that Vault turns too often by itself.
pub(crate) fn settings(slot: Slot<'_>, state: &RoleState) -> Result<(), Failure> {
    if !state.is_password {
        let why = "this static role makes another credential than a password".to_owned();
        let help = format!("{}; then {}", slot.set("credential_type=password"), slot.rotate());
        return Err(refuse(Code::IssuerSettingsInvalid, slot, why, help));
    }
    match &state.turns {
        Turns::Period { s } if *s < ALONE_S_MIN => {
            let why = format!(
                "Vault changes this password every {}: every program would fail in the middle of a rotation",
                words(*s)
            );
            Err(refuse(Code::ServerUnsuitable, slot, why, slot.set(YEARLY)))
        }
        Turns::Period { .. } | Turns::Schedule(_) => Ok(()),
    }
}

/// Refuses if Vault changes the password within the time that a rotation may take.
pub(crate) fn left(slot: Slot<'_>, left_s: Option<u64>) -> Result<(), Failure> {
    let Some(left_s) = left_s.filter(|left_s| *left_s < ALONE_S_MIN) else { return Ok(()) };
    let why = format!(
        "Vault changes this password by itself in {}: every program would fail in the middle of the rotation",
        words(left_s)
    );
    Err(refuse(Code::ServerUnsuitable, slot, why, slot.set(YEARLY)))
}

/// Somebody uses the login whose password would be replaced. Names the first clients.
pub(crate) fn used(slot: Slot<'_>, sessions: &[Session]) -> Failure {
    let clients = sessions.iter().take(CLIENTS_MAX).map(|session| match (session.client, session.pid) {
        (Some(client), _) => client.to_string(),
        (None, Some(pid)) => format!("process {pid}"),
        (None, None) => "a client that the server does not name".to_owned(),
    });
    let clients = clients.collect::<Vec<_>>().join(", ");
    let count = match sessions.len() {
        1 => "1 live session".to_owned(),
        many => format!("{many} live sessions"),
    };
    let more = if sessions.len() > CLIENTS_MAX { ", and more" } else { "" };
    let why = format!("{:?} has {count}, and is not the login in use: {clients}{more}", slot.login);
    let help = "find out who uses it (`ss -tnp` shows the process of an address of this machine), let it use the login of the \
                others, and end its sessions";
    refuse(Code::LoginSlotTaken, slot, why, help.to_owned())
}

/// The server lets the login in with a password that Vault does not have.
pub(crate) fn changed_at_server(slot: Slot<'_>) -> Failure {
    let why = "the server accepts keyroll's password of this login, and Vault has another one: somebody changed it at the server"
        .to_owned();
    let help = format!(
        "find out who changes it beside Vault, and stop that; then {} (every program is refused from then on), and plan at \
         once",
        slot.rotate()
    );
    refuse(Code::LoginReplaced, slot, why, help)
}

/// The server refuses the password in use, and Vault has another one.
pub(crate) fn note_of_recovery(slot: Slot<'_>, rotated: &str) -> String {
    format!(
        "Vault has another password of {:?} than keyroll (changed at {rotated}), and the server refuses keyroll's: this rotation \
         moves the programs to the other login. If their files have Vault's password already, give it to keyroll instead: \
         keyroll secret import NAME",
        slot.login
    )
}

/// The server refuses the password that Vault and keyroll have.
pub(crate) fn note_of_refused(slot: Slot<'_>) -> String {
    format!(
        "Vault and keyroll have the same password of {0:?}, and the server refuses it: somebody changed it at the server, past \
         Vault. This rotation moves the programs to the other login; to keep this one, rotate it ({1}), give the programs the \
         new password, and: keyroll secret import NAME",
        slot.login,
        slot.rotate()
    )
}

/// Both static roles must use one connection of Vault: the password in use shows that it leads to this server, and the idle
/// login of another server would be somebody else's.
pub(crate) fn databases([one, two]: [(Slot<'_>, &RoleState); 2]) -> Result<(), Failure> {
    let connection =
        |(slot, state): (Slot<'_>, &RoleState)| format!("{}/config/{}", slot.role.mount(), state.database);
    let (first, second) = (connection(one), connection(two));
    if first == second {
        return Ok(());
    }
    let why = format!("it uses the database connection {second}, and {} uses {first}", one.0.role);
    let help = format!(
        "make a static role of {:?} with that connection (`db_name`), and name it in `vault_roles`",
        two.0.login
    );
    Err(refuse(Code::IssuerSettingsInvalid, two.0, why, help))
}

/// Vault shows an earlier password than the one in use, which the server accepts.
pub(crate) fn note_of_restored(slot: Slot<'_>, rotated: &str) -> String {
    format!(
        "Vault shows the password that {:?} had since {rotated}, and the server accepts the later one in use: Vault was put back \
         from a backup. The rotation goes on; at its end Vault replaces that password",
        slot.login
    )
}

/// When Vault will change the passwords by itself, which cuts every program off.
pub(crate) fn note_of_time(own: Slot<'_>, left_s: Option<u64>, idle: (Slot<'_>, &Turns)) -> Option<String> {
    let left_s = left_s?;
    let later = match idle.1 {
        Turns::Period { s } => format!("that of {:?} {} after this rotation", idle.0.login, words(*s)),
        Turns::Schedule(schedule) => format!("that of {:?} by the schedule {schedule:?}", idle.0.login),
    };
    let advice = match left_s < SOON_S {
        true => format!("set a long period ({}), and let keyroll's schedule rotate", own.set(YEARLY)),
        false => "rotate before that".to_owned(),
    };
    Some(format!(
        "Vault changes the password of {:?} by itself in {}, and {later}; every program with that password then fails until it \
         has the next one: {advice}",
        own.login,
        words(left_s)
    ))
}

/// A time in its two largest units: `3 d 4 h`.
fn words(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let first = units.iter().position(|(unit_s, _)| seconds >= *unit_s).unwrap_or(units.len() - 1);
    let mut left_s = seconds;
    let mut all = Vec::new();
    for (unit_s, name) in units.iter().skip(first).take(2) {
        let count = left_s / unit_s;
        left_s %= unit_s;
        if count > 0 || all.is_empty() {
            all.push(format!("{count} {name}"));
        }
    }
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use keyroll_vault::StaticRole;

    use super::*;

    fn state(turns: Turns) -> RoleState {
        RoleState {
            username: "orders_a".to_owned(),
            database: "orders".to_owned(),
            is_password: true,
            rotated: "2026-11-28T06:11:22.123456789Z".to_owned(),
            turns,
        }
    }

    fn roles() -> [StaticRole; 2] {
        ["database/orders-a", "database/orders-b"].map(|role| StaticRole::parse(role).unwrap())
    }

    fn slots(roles: &[StaticRole; 2]) -> [Slot<'_>; 2] {
        [Slot { login: "orders_a", role: &roles[0] }, Slot { login: "orders_b", role: &roles[1] }]
    }

    #[test]
    fn a_time_is_told_in_two_units() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_661, "1 h 1 min"),
            (86_400, "1 d"),
            (86_459, "1 d"),
            (273_600, "3 d 4 h"),
            (31_536_000, "365 d"),
        ] {
            assert_eq!(words(seconds), expected);
        }
    }

    #[test]
    fn a_password_that_vault_changes_soon_is_refused_with_the_command() {
        let roles = roles();
        let [own, idle] = slots(&roles);
        let command = "vault write database/static-roles/orders-a username=orders_a rotation_period=8760h";
        for failure in [
            left(own, Some(3_599)).unwrap_err(),
            settings(own, &state(Turns::Period { s: 3_599 })).unwrap_err(),
        ] {
            assert_eq!((failure.code, failure.class), (Code::ServerUnsuitable, Class::Permanent));
            assert_eq!(failure.help.as_deref(), Some(command));
        }
        left(own, Some(3_600)).unwrap();
        left(own, None).unwrap();
        settings(own, &state(Turns::Period { s: 3_600 })).unwrap();
        settings(own, &state(Turns::Schedule("0 0 * * SAT".to_owned()))).unwrap();
        let key = RoleState { is_password: false, ..state(Turns::Period { s: 86_400 }) };
        assert_eq!(settings(own, &key).unwrap_err().code, Code::IssuerSettingsInvalid);
        login(own, "orders_a").unwrap();
        let other = login(idle, "orders_a").unwrap_err();
        assert!(other.help.unwrap().contains("vault read database/static-roles/orders-b"));
    }

    #[test]
    fn the_notes_name_logins_times_and_commands() {
        let roles = roles();
        let [own, idle] = slots(&roles);
        let note = note_of_time(own, Some(273_600), (idle, &Turns::Period { s: 2_592_000 })).unwrap();
        for words in ["\"orders_a\" by itself in 3 d 4 h", "\"orders_b\" 30 d after this rotation", "8760h"] {
            assert!(note.contains(words), "{words:?} is not in {note:?}");
        }
        let note = note_of_time(own, Some(31_000_000), (idle, &Turns::Period { s: 31_536_000 })).unwrap();
        assert!(note.ends_with("rotate before that"), "{note}");
        assert_eq!(note_of_time(own, None, (idle, &Turns::Period { s: 1 })), None);

        let (one, two) = (state(Turns::Period { s: 1 }), state(Turns::Period { s: 1 }));
        databases([(own, &one), (idle, &two)]).unwrap();
        let two = RoleState { database: "elsewhere".to_owned(), ..two };
        let other = databases([(own, &one), (idle, &two)]).unwrap_err();
        assert!(format!("{other:?}").contains("database/config/elsewhere"), "{other:?}");
        let staging = StaticRole::parse("staging/orders-b").unwrap();
        let idle_there = Slot { login: "orders_b", role: &staging };
        assert!(databases([(own, &one), (idle_there, &one)]).is_err());

        let note = note_of_recovery(own, "2026-11-28T06:11:22Z");
        assert!(
            note.contains("2026-11-28T06:11:22Z") && note.ends_with("keyroll secret import NAME"),
            "{note}"
        );
        assert!(note_of_refused(own).contains("vault write -f database/rotate-role/orders-a"));
    }
}
