use crate::id::{Mark, ended};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;

use super::accounts::{self, Account, NO_PASSWORD};
use super::link::Link;
use super::server::MariaDb;
use crate::directory::{Filling, Login, Switch};

/// A name as a quoted SQL identifier, whatever it contains.
fn name(text: &str) -> String {
    format!("`{}`", text.replace('`', "``"))
}

/// An account as MariaDB writes it.
fn account(user: &str, host: &str) -> String {
    format!("{}@{}", name(user), name(host))
}

/// Makes the slot an account with the current one's grants and this password. MariaDB commits each statement on an
/// account at once. The slot lets nobody in until the last statement, which sets the password and unlocks the account.
pub(super) async fn fill(server: &MariaDb, filling: &Filling<'_>) -> Result<(), Failure> {
    let what = format!("mint into the account {:?}", filling.slot);
    let refuse = |why: String| {
        Failure::new(Class::Permanent, Code::IssuerSettingsInvalid, server.attempted(&what)).because(why)
    };
    let mut link = server.admin().await?;
    let all = accounts::read(&mut link).await.map_err(|fault| server.failed(&fault, "read the accounts"))?;
    let current = all.iter().find(|it| it.user == filling.current);
    let current = current.ok_or_else(|| refuse(format!("the account {:?} is gone", filling.current)))?;
    let slot = all.iter().find(|it| it.user == filling.slot && it.host == current.host);
    let hash = hash(filling.password);
    let mark = Mark::Ours(filling.label.to_owned());
    if slot.is_some_and(|slot| slot.mark == mark && !slot.locked && slot.hash.as_ref() == Some(&hash)) {
        return Ok(());
    }
    let (from, to) = (account(filling.current, &current.host), account(filling.slot, &current.host));
    let grants: Vec<String> = link
        .rows(&format!("SHOW GRANTS FOR {from}"))
        .await
        .map_err(|fault| server.failed(&fault, "read the grants"))?;
    let mut statements = vec![
        format!(
            "CREATE USER IF NOT EXISTS {to} IDENTIFIED VIA mysql_native_password USING '{NO_PASSWORD}' ACCOUNT LOCK"
        ),
        format!("REVOKE ALL PRIVILEGES, GRANT OPTION FROM {to}"),
    ];
    let marks = current.mark.label().map(|label| [label.to_owned(), ended(label)]).unwrap_or_default();
    for grant in &grants {
        let carried = carry(grant, &from, &to, &marks);
        let carried =
            carried.ok_or_else(|| refuse("a grant of it has a form that is not known".to_owned()))?;
        statements.extend(carried);
    }
    if let Some(label) = slot.and_then(|slot| slot.mark.label()).filter(|label| *label != filling.label) {
        statements.push(format!("DROP ROLE IF EXISTS {}", name(&ended(label))));
        statements.push(format!("DROP ROLE IF EXISTS {}", name(label)));
    }
    statements.extend(carry_mark(filling.label, &to));
    statements
        .push(format!("ALTER USER {to} IDENTIFIED VIA mysql_native_password USING '{hash}' ACCOUNT UNLOCK"));
    run(server, &mut link, &statements, &what).await?;
    link.close().await;
    Ok(())
}

/// Carries out a switch.
pub(super) async fn switch(server: &MariaDb, login: &Login, switch: Switch) -> Result<(), Failure> {
    let what = format!("{} {:?}", switch.attempt(), login.name);
    let mut link = server.admin().await?;
    let all = accounts::read(&mut link).await.map_err(|fault| server.failed(&fault, "read the accounts"))?;
    let of = |it: &&Account| it.user == login.name;
    let Some(found) =
        all.iter().find(of).filter(|it| it.mark == login.mark && all.iter().filter(of).count() == 1)
    else {
        return Err(Failure::new(Class::Retryable, Code::LoginReplaced, server.attempted(&what))
            .because("it is not one account any more, or somebody changed it at the same time"));
    };
    let to = account(&found.user, &found.host);
    let mut statements = Vec::new();
    match switch {
        Switch::Off => statements.push(format!("ALTER USER {to} ACCOUNT LOCK")),
        Switch::On => statements.push(format!("ALTER USER {to} ACCOUNT UNLOCK")),
        Switch::End => {
            let label = found.mark.label();
            // Set the mark first: if a later statement fails, the label is never minted again.
            statements.extend(label.into_iter().flat_map(|label| carry_mark(&ended(label), &to)));
            statements.push(format!(
                "ALTER USER {to} IDENTIFIED VIA mysql_native_password USING '{NO_PASSWORD}' ACCOUNT LOCK"
            ));
            statements.extend(label.map(|label| format!("DROP ROLE IF EXISTS {}", name(label))));
        }
    }
    run(server, &mut link, &statements, &what).await?;
    link.close().await;
    Ok(())
}

/// The statements that give an account this mark: a role without any rights.
fn carry_mark(mark: &str, to: &str) -> [String; 2] {
    [format!("CREATE ROLE IF NOT EXISTS {}", name(mark)), format!("GRANT {} TO {to}", name(mark))]
}

async fn run(server: &MariaDb, link: &mut Link, statements: &[String], what: &str) -> Result<(), Failure> {
    for statement in statements {
        link.run(statement).await.map_err(|fault| fault.of_effect(server.attempted(what)))?;
    }
    Ok(())
}

/// A statement of `SHOW GRANTS` for the other account, without the password that the first of them contains. Empty for
/// our marks; `None` if the statement has an unknown form.
fn carry(grant: &str, from: &str, to: &str, marks: &[String]) -> Option<Vec<String>> {
    let ours = |role: &str| marks.iter().any(|mark| !mark.is_empty() && name(mark) == role);
    if let Some(rest) = grant.strip_prefix("SET DEFAULT ROLE ") {
        let role = rest.strip_suffix(&format!(" FOR {from}"))?;
        return Some(vec![format!("SET DEFAULT ROLE {role} FOR {to}")]);
    }
    let at = grant.find(&format!(" TO {from}"))?;
    let (head, tail) = (grant.get(..at)?, grant.get(at + 4 + from.len()..)?);
    let what = head.strip_prefix("GRANT ")?;
    if ours(what) {
        return Some(Vec::new());
    }
    let tail = match tail.strip_prefix(" IDENTIFIED ") {
        Some(rest) => [" REQUIRE ", " WITH "]
            .iter()
            .find_map(|word| rest.find(word))
            .map_or("", |at| rest.get(at..).unwrap_or("")),
        None => tail,
    };
    let known = tail.is_empty() || tail.starts_with(" REQUIRE ") || tail.starts_with(" WITH ");
    // An admin without GRANT OPTION on *.* may not even grant USAGE on *.*, so this line is not repeated. Its options
    // belong to the account, and ALTER USER sets them.
    let statement = match what == "USAGE ON *.*" && !tail.contains("GRANT OPTION") {
        true if tail.is_empty() => return Some(Vec::new()),
        true => format!("ALTER USER {to}{tail}"),
        false => format!("{head} TO {to}{tail}"),
    };
    known.then(|| vec![statement])
}

/// The hash that MariaDB stores: the SHA-1 of the password's SHA-1. keyroll sends nothing else of a password, which has
/// 238 random bits.
fn hash(password: &SecretBytes) -> String {
    let once = digest(&SHA1_FOR_LEGACY_USE_ONLY, password.expose());
    let twice = digest(&SHA1_FOR_LEGACY_USE_ONLY, once.as_ref());
    let hex: String = twice.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    format!("*{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: &str = "`orders`@`127.0.0.1`";
    const TO: &str = "`orders_a`@`127.0.0.1`";

    fn carried(grant: &str) -> Option<Vec<String>> {
        carry(grant, FROM, TO, &["keyroll/r/1".to_owned()])
    }

    #[test]
    fn grants_are_carried_over_without_the_password() {
        let one = |text: &str| Some(vec![text.to_owned()]);
        assert_eq!(
            carried(
                "GRANT USAGE ON *.* TO `orders`@`127.0.0.1` IDENTIFIED BY PASSWORD '*2B60' REQUIRE SSL WITH MAX_USER_CONNECTIONS 5"
            ),
            one("ALTER USER `orders_a`@`127.0.0.1` REQUIRE SSL WITH MAX_USER_CONNECTIONS 5")
        );
        assert_eq!(
            carried("GRANT USAGE ON *.* TO `orders`@`127.0.0.1` IDENTIFIED BY PASSWORD '*2B60'"),
            Some(Vec::new())
        );
        assert_eq!(
            carried("GRANT ALL PRIVILEGES ON `shop`.* TO `orders`@`127.0.0.1` WITH GRANT OPTION"),
            one("GRANT ALL PRIVILEGES ON `shop`.* TO `orders_a`@`127.0.0.1` WITH GRANT OPTION")
        );
        assert_eq!(
            carried("SET DEFAULT ROLE `app` FOR `orders`@`127.0.0.1`"),
            one("SET DEFAULT ROLE `app` FOR `orders_a`@`127.0.0.1`")
        );
        assert_eq!(carried("GRANT `keyroll/r/1` TO `orders`@`127.0.0.1`"), Some(Vec::new()));
        assert_eq!(carried("GRANT PROXY ON ''@'%' TO 'other'@'h'"), None);
    }

    #[test]
    fn a_hash_is_the_one_that_mariadb_makes() {
        // SELECT PASSWORD('password')
        let known = "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19";
        assert_eq!(hash(&SecretBytes::from("password".to_owned())), known);
    }
}
