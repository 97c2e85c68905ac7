use std::collections::BTreeSet;

use keyroll_config::{
    Config, ConfigError, Consumer, FoundConsumer, FoundCopy, FoundSecret, Name, Place, Secret, comments,
    with_consumer, with_copy, with_secret,
};
use keyroll_draft::{Draft, consumers_of, named};
use keyroll_trace::Survey;

use super::already_configured;
use super::issuer::{Issuer, issuer, of_login};
use crate::configured::listed;
use crate::redact;

/// A configuration with the drafts added.
#[derive(Debug, Default)]
pub struct Joined {
    /// The whole text: the old one, with additions.
    pub text: String,
    /// What was added, in words.
    pub added: Vec<String>,
    /// What was not added, and why.
    pub refused: Vec<String>,
    /// What the configuration names and this machine no longer has.
    pub gone: Vec<String>,
    /// What the operator has to fill in.
    pub open: Vec<String>,
}

/// Adds drafts to a configuration: new secrets and consumers at the end, new copies beside those of their consumer.
/// Changes or removes nothing that is there.
///
/// # Errors
/// The text is not a valid configuration.
pub(crate) fn join(
    text: &str,
    file_name: &str,
    drafts: &[Draft<'_>],
    survey: &Survey,
) -> Result<Joined, ConfigError> {
    let config = Config::parse(text, file_name)?;
    let gone = already_configured::gone(&config, survey);
    let mut joined = Joined { text: text.to_owned(), gone, ..Joined::default() };
    for draft in drafts {
        match already_configured::secret(&config, survey, draft.found) {
            Some((secret, field)) => joined.extend(secret, field.as_ref(), draft, file_name),
            None => joined.begin(draft, file_name),
        }
    }
    Ok(joined)
}

impl Joined {
    /// Adds a secret that is not configured yet.
    fn begin(&mut self, draft: &Draft<'_>, file_name: &str) {
        let consumers = consumers_of(&draft.consumers);
        let users = consumers.iter().filter(|_| draft.used);
        let users: Vec<&str> = users.map(|(one, _)| one.name.as_str()).collect();
        let mut notes = vec![used_by(&users)];
        if draft.found.copies_differ() {
            notes.push(format!("its copies differ: keyroll why {}", draft.found.name));
        }
        notes.extend(draft.unfit.clone());
        let mut taken = self.secrets(file_name);
        let name = named(draft.name.as_str(), &mut taken).unwrap_or_else(|| draft.name.clone());
        let Issuer { written, admin, notes: of_issuer, open, table } = match &draft.login {
            Some(login) => of_login(login, &name),
            None => issuer(&draft.form, draft.name.as_str()),
        };
        notes.extend(of_issuer);
        let secret = FoundSecret { name, notes, issuer: written, admin, table };
        if !self.secret(&secret, open, file_name) {
            return;
        }
        for (consumer, open) in &consumers {
            self.consumer_or_comment(&secret.name, consumer, open, file_name);
        }
        self.omitted(&draft.left);
    }

    /// The names of the secrets so far.
    pub(super) fn secrets(&self, file_name: &str) -> BTreeSet<Name> {
        let taken = Config::parse(&self.text, file_name).map(|config| config.secrets.into_keys().collect());
        taken.unwrap_or_default()
    }

    /// Adds the table of a new secret. Returns whether it was added.
    pub(super) fn secret(&mut self, secret: &FoundSecret, open: Vec<String>, file_name: &str) -> bool {
        let head = clean(&secret.text());
        let new =
            head.and_then(|()| with_secret(&self.text, file_name, secret).map_err(|error| told(&error)));
        match new {
            Ok(text) => self.text = text,
            Err(why) => {
                self.refused.push(format!("{}: {why}", secret.name));
                return false;
            }
        }
        self.added.push(format!("[secrets.{}]", secret.name));
        self.open.extend(open);
        true
    }

    /// Adds a consumer of a new secret; if it cannot be used, as a comment.
    pub(super) fn consumer_or_comment(
        &mut self,
        secret: &Name,
        consumer: &FoundConsumer,
        open: &[String],
        file_name: &str,
    ) {
        if let Err(why) = self.consumer(secret, consumer, open, file_name) {
            // The whole block becomes a comment, so that the operator can correct it by hand.
            let lines = consumer.text(secret);
            let lines: Vec<String> =
                lines.lines().map(|line| line.trim_start_matches("# ").to_owned()).collect();
            self.comment(&format!("not used as it is: {why}"), &lines);
        }
    }

    /// Says in a comment what was left out, and why.
    pub(super) fn omitted(&mut self, left: &[String]) {
        if !left.is_empty() {
            self.comment("omitted:", left);
        }
    }

    /// Extends a configured secret with new consumers and copies.
    fn extend(&mut self, secret: &Secret, field: Option<&Name>, draft: &Draft<'_>, file_name: &str) {
        let elsewhere = secret.other_hosts();
        for one in &draft.consumers {
            let of_login = one.of_login.as_ref().filter(|_| secret.server.is_some());
            let drafted = of_login.unwrap_or(&one.consumer);
            let Some(new) = already_configured::read(drafted, &secret.issuer, file_name) else {
                let why = "it cannot be written in keyroll.toml";
                self.refused.push(format!("{}/{}: {why}", secret.name, one.consumer.name));
                continue;
            };
            let same = secret.consumers.iter().find(|known| already_configured::is_same(known, &new, one));
            // What runs on this machine of a secret for others is a choice of the operator: a part of a fleet, or a leftover.
            if same.is_none() && !elsewhere.is_empty() {
                self.refused.push(format!(
                    "{}/{}: {} has consumers on {}; declare this one in keyroll.toml, or move it away from this machine",
                    secret.name,
                    one.consumer.name,
                    secret.name,
                    listed(&elsewhere)
                ));
                continue;
            }
            let Some(same) = same else {
                let mut given = tables_of(secret);
                let mut consumer = drafted.clone();
                if let Some(free) = named(consumer.name.as_str(), &mut given) {
                    consumer.name = free;
                }
                consumer.reads.iter_mut().for_each(|copy| of_field(copy, field));
                // The file does not show the refused block, so the reason is reported.
                if let Err(why) = self.consumer(&secret.name, &consumer, &one.open, file_name) {
                    self.refused.push(format!("{}/{}: {why}", secret.name, one.consumer.name));
                }
                continue;
            };
            // A consumer whose copies are fetched gets them from its command; one that reads the store itself has none.
            if same.is_pull() {
                continue;
            }
            for (copy, written) in new.reads.iter().zip(&drafted.reads) {
                if covers(&same.reads, &copy.place) {
                    continue;
                }
                match is_of_several(same) {
                    false => self.copy((&secret.name, &same.name), copy, written, field, file_name),
                    // Its table is also for other machines, which may not have this copy.
                    true => self.refused.push(format!(
                        "{}/{}: the copy {}: it is declared with `hosts`; add the copy to its `reads` if all of them have it",
                        secret.name, same.name, copy.place
                    )),
                }
            }
        }
    }

    /// Adds a consumer to a secret.
    pub(super) fn consumer(
        &mut self,
        secret: &Name,
        consumer: &FoundConsumer,
        open: &[String],
        file_name: &str,
    ) -> Result<(), String> {
        clean(&consumer.text(secret))?;
        let new = with_consumer(&self.text, file_name, secret, consumer);
        self.text = new.map_err(|error| told(&error))?;
        self.added.push(format!("consumer {} of {secret}", consumer.name));
        self.open.extend(open.iter().map(|what| format!("{secret}/{what}")));
        Ok(())
    }

    /// Adds a copy to a consumer.
    pub(super) fn copy(
        &mut self,
        (secret, consumer): (&Name, &Name),
        copy: &keyroll_config::Copy,
        written: &FoundCopy,
        field: Option<&Name>,
        file_name: &str,
    ) {
        let mut written = written.clone();
        of_field(&mut written, field);
        let safe = written.iter().try_for_each(|(_, text)| clean(text));
        let new = || with_copy(&self.text, file_name, (secret, consumer), &written);
        match safe.and_then(|()| new().map_err(|error| told(&error))) {
            Ok(text) => {
                self.text = text;
                self.added.push(format!("copy {} of {secret}/{consumer}", copy.place));
            }
            Err(why) => self.refused.push(format!("{secret}/{consumer}: the copy {}: {why}", copy.place)),
        }
    }

    /// Appends lines as TOML comments.
    fn comment(&mut self, head: &str, lines: &[String]) {
        let lines = std::iter::once(head).chain(lines.iter().map(String::as_str));
        let lines: Vec<String> = lines.map(|line| redact::pass(line).into_owned()).collect();
        let block = format!("\n{}\n", comments(&lines).join("\n"));
        self.text.push_str(&block);
    }
}

/// Whether one consumer uses a secret, or several share it.
pub(super) fn used_by(consumers: &[&str]) -> String {
    match consumers {
        [] => "no known service uses it".to_owned(),
        [only] => format!("used only by {only}"),
        several => {
            format!("shared by {}: one rotation moves all of them, one after the other", several.join(", "))
        }
    }
}

/// The names of the tables of a secret's consumers.
pub(super) fn tables_of(secret: &Secret) -> BTreeSet<Name> {
    secret.consumers.iter().filter_map(|one| Name::new(one.table())).collect()
}

/// Whether it is one of the consumers of a table with `hosts`. Nobody may write such a name.
pub(super) fn is_of_several(consumer: &Consumer) -> bool {
    Name::new(consumer.name.as_str()).is_none()
}

/// Names the field of a copy, if the secret has several.
fn of_field(copy: &mut FoundCopy, field: Option<&Name>) {
    let Some(field) = field else { return };
    match copy.iter_mut().find(|(key, _)| *key == "template") {
        Some((_, template)) => *template = template.replace("{value", &format!("{{{field}")),
        None => copy.push(("field", field.as_str().to_owned())),
    }
}

/// Whether one of these copies already contains a place, however it is declared. A file that is written whole, or by a
/// template, contains every place in it.
pub(super) fn covers(copies: &[keyroll_config::Copy], new: &Place) -> bool {
    let whole = |place: &Place| match place {
        Place::File { .. } | Place::Within { .. } | Place::Userlist { .. } | Place::Key { .. } => true,
        Place::EnvFile { .. } | Place::Inside { .. } => false,
    };
    copies.iter().any(|copy| {
        let same_file = copy.place.path() == new.path();
        copy.place == *new || (same_file && (copy.generated.is_some() || whole(&copy.place) || whole(new)))
    })
}

/// The last safeguard: refuses a text that contains a value.
fn clean(text: &str) -> Result<(), String> {
    match redact::pass(text) == text {
        true => Ok(()),
        false => Err("it would contain a value".to_owned()),
    }
}

fn told(error: &ConfigError) -> String {
    match error.help() {
        Some(help) => format!("{error}; {help}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_consumer_does_not_get_the_name_of_a_table_for_several_machines() {
        let text = "version = 1\n[secrets.acme]\nissuer = \"openrouter\"\n[[secrets.acme.consumers]]\n\
                    name = \"api\"\nhosts = [\"local\"]\nruns = { at_rest = true }\nreads = { file = \"./key\" }\n";
        let config = Config::parse(text, "/srv/keyroll.toml").unwrap();
        let secret = config.secret("acme").unwrap();
        assert!(is_of_several(&secret.consumers[0]));
        // Two tables of one name: a copy of the one would be written into the other.
        let name = named("api", &mut tables_of(secret)).unwrap();
        assert_eq!(name.as_str(), "api-2");
    }
}
