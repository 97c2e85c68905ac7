//! How the value stands in a copy that is adopted: whole, derived, or as the password in a URL. A copy in another form would be
//! found wrong only when the new value is written there.

use keyroll_config::{Copy, Place, Secret, Source};
use keyroll_copy::{FieldValues, Format, percent_decoded};
use keyroll_host::{CopySetup, CopySource, read, resolve};
use keyroll_leak::is_distinct;
use keyroll_port::Label;
use keyroll_secret::{Fields, SecretBytes};
use keyroll_setup::copy_setup;

use super::executable::adopting;
use crate::operator::Operator;
use crate::places::Places;
use crate::problem::Problem;
use crate::session::append_offline::opened_own;
use crate::wiring::family;
use crate::wiring::open::runtime;

/// The longest user and scheme of a URL that are written to keyroll.toml, bytes: a longer text may be a secret itself.
const NAME_BYTES_MAX: usize = 64;

/// The same copies, each as the value stands in it now.
///
/// # Errors
/// A copy cannot be read, or does not hold the value in a form that keyroll can write.
pub(super) fn as_they_stand(
    copies: &[Copy],
    secret: &Secret,
    places: &Places,
    operator: &mut dyn Operator,
) -> Result<Vec<Copy>, Problem> {
    let known = known(secret, places)?;
    if known.is_empty() {
        // `plan` asks for a value first.
        return Ok(copies.to_vec());
    }
    let mut all = Vec::new();
    for asked in copies {
        let bytes = read(&resolve(asked.place.path())?)?.bytes;
        let found = Stands { asked, secret, known: &known, file: bytes.expose() };
        let found = found.forms().ok_or_else(|| refused(asked, secret))?;
        for form in found.iter().filter(|form| **form != *asked) {
            operator.note(said(asked, form));
        }
        all.extend(found);
    }
    Ok(all)
}

/// The values that a copy may hold now: that of the current version, and those of an open rotation. None before the first one.
fn known(secret: &Secret, places: &Places) -> Result<Vec<Fields>, Problem> {
    if !places.sealed().exists() {
        return Ok(Vec::new());
    }
    let name = secret.name.as_str();
    let opened = opened_own(name, places)?;
    let family = opened.as_ref().and_then(|opened| opened.saved.family.as_ref());
    let store = family::planned(places, name, family)?;
    runtime(places)?.block_on(async {
        let mut all = Vec::new();
        let versions = store.versions(name).await?;
        for version in versions.iter().filter(|version| version.label != Label::Retired) {
            all.extend(store.read(name, version.number).await?.map(|credential| credential.fields));
        }
        Ok::<_, Problem>(all)
    })
}

/// A copy as it was named, and what its file holds.
struct Stands<'a> {
    asked: &'a Copy,
    secret: &'a Secret,
    known: &'a [Fields],
    file: &'a [u8],
}

impl Stands<'_> {
    /// The forms in which the value stands in the copy: one, or one for each variable of a file of which no part was named. None
    /// if it does not stand there.
    fn forms(&self) -> Option<Vec<Copy>> {
        if let Some(form) = self.form(&self.asked.place) {
            return Some(vec![form]);
        }
        let Place::File { path } = &self.asked.place else { return None };
        let variables = Format::Dotenv.variables(self.file).ok()?;
        let places =
            variables.into_iter().map(|(variable, _)| Place::EnvFile { path: path.clone(), variable });
        let mut found: Vec<Copy> = Vec::new();
        for form in places.filter_map(|place| self.form(&place)) {
            // One template finds every place of its form.
            if found.iter().all(|known| known.place != form.place) {
                found.push(form);
            }
        }
        (!found.is_empty()).then_some(found)
    }

    /// The form in which the value stands at a place.
    fn form(&self, place: &Place) -> Option<Copy> {
        let derived = self.secret.derived.keys().cloned().map(Source::Derived);
        let sources = std::iter::once(self.asked.source.clone()).chain(derived);
        let mut whole = sources.map(|source| Copy { place: place.clone(), source, ..self.asked.clone() });
        whole.find(|copy| self.holds(copy)).or_else(|| self.in_url(place))
    }

    fn holds(&self, copy: &Copy) -> bool {
        let Ok(setup) = copy_setup(self.secret, copy) else { return false };
        self.known.iter().any(|fields| says(&setup, self.file, fields))
    }

    /// The password of the URL at a place, by the text around it: by the login alone where no other login is found with that,
    /// otherwise with the name of the variable before it.
    fn in_url(&self, place: &Place) -> Option<Copy> {
        let Source::Field(field) = &self.asked.source else { return None };
        let text = self.text(place)?;
        let login = Login::of(std::str::from_utf8(text.expose()).ok()?)?;
        let fields = self.known.iter().find(|fields| {
            let value = fields.get(field.as_str()).map(|field| field.value.expose());
            percent_decoded(login.password.as_bytes())
                .is_some_and(|password| value == Some(password.as_slice()))
        })?;
        let user = login.user_in(fields)?;
        let url = format!("{}://{user}:{{{field}}}@", login.scheme);
        let before = if let Place::EnvFile { variable, .. } = place {
            ["=", "=\"", "='"].map(|mark| format!("{variable}{mark}")).to_vec()
        } else {
            Vec::new()
        };
        let templates = std::iter::once(String::new()).chain(before).map(|before| before + &url);
        let path = place.path();
        let mut copies =
            templates.filter_map(|template| Copy::within(path.to_owned(), template, &self.secret.fields));
        copies.find(|copy| self.holds(copy))
    }

    /// The text at a place.
    fn text(&self, place: &Place) -> Option<SecretBytes> {
        let copy = Copy { place: place.clone(), ..self.asked.clone() };
        match copy_setup(self.secret, &copy).ok()? {
            CopySetup::Value { format, slot, .. } => format.read(self.file, &slot).ok().flatten(),
            CopySetup::Login { .. } | CopySetup::Within(_) => None,
        }
    }
}

/// Whether a file holds these fields there, and no others.
fn says(setup: &CopySetup, file: &[u8], fields: &Fields) -> bool {
    let is_known =
        |name: &str, value: &SecretBytes| fields.get(name).is_some_and(|field| field.value == *value);
    match setup {
        CopySetup::Value { format, slot, source } => {
            let Some(value) = format.read(file, slot).ok().flatten() else { return false };
            match source {
                CopySource::Field(name) => is_known(name, &value),
                CopySource::Text(template) => template.says(&value, fields),
                CopySource::Version(_) => false,
            }
        }
        // The login is found by its name when it is written.
        CopySetup::Login { .. } => true,
        CopySetup::Within(template) => {
            let found = template.find(file);
            let all = |found: &FieldValues| found.iter().all(|(name, value)| is_known(name, value));
            !found.is_empty() && found.iter().all(all)
        }
    }
}

/// `scheme://user:password@` at the beginning of a text.
struct Login<'t> {
    scheme: &'t str,
    user: &'t str,
    password: &'t str,
}

impl<'t> Login<'t> {
    fn of(text: &'t str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, password) = authority.rsplit_once('@')?.0.split_once(':')?;
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte);
        let is_scheme = !scheme.is_empty() && scheme.len() <= NAME_BYTES_MAX && scheme.bytes().all(known);
        is_scheme.then_some(Self { scheme, user, password })
    }

    /// The user as it stands in a template: the field `user`, or the name itself. keyroll.toml contains it unencrypted, so a text
    /// that may be a token is not taken for a name.
    fn user_in(&self, fields: &Fields) -> Option<String> {
        let field = fields.get("user").filter(|field| !field.secret).map(|field| field.value.expose());
        if percent_decoded(self.user.as_bytes()).is_some_and(|user| field == Some(user.as_slice())) {
            return Some("{user}".to_owned());
        }
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let is_name = self.user.bytes().all(named) && self.user.len() <= NAME_BYTES_MAX;
        (is_name && !is_distinct(self.user.as_bytes())).then(|| self.user.to_owned())
    }
}

/// What keyroll.toml gets in place of what was named.
fn said(asked: &Copy, form: &Copy) -> String {
    let form = match (&form.place, &form.source) {
        (Place::Within { template, .. }, _) => {
            format!("as a part of a text, found by the template {template}")
        }
        (Place::EnvFile { variable, .. }, Source::Field(_)) => format!("in the variable {variable}"),
        (place, Source::Derived(name)) => format!("as the derived text `{name}`: {place}"),
        (place, Source::Field(_) | Source::Template(_)) => format!("at {place}"),
    };
    format!("in {} the value stands {form}", asked.place)
}

fn refused(asked: &Copy, secret: &Secret) -> Problem {
    adopting()
        .because(format!(
            "{} does not hold the value of {}: neither alone, nor derived, nor as the password of a URL",
            asked.place, secret.name
        ))
        .help(
            "name the copy that it starts from: --env-file FILE --variable NAME, --file FILE --format FORMAT --at \
             POSITION, or --file FILE; a copy in which the value is a part of another text is written into keyroll.toml \
             by hand, with `template`",
        )
}

#[cfg(test)]
mod tests {
    use keyroll_config::{Config, Name, WriteMode};

    use super::*;

    const TEXT: &str = "version = 1\n[secrets.db]\nissuer = \"openrouter\"\n[secrets.db.fields]\n\
        user = { secret = false }\npassword = { secret = true }\n[secrets.db.derived]\n\
        dsn = \"host=h user={user} password={password}\"\n";

    /// The forms of a copy of a secret with these fields in a file with this content.
    fn forms(place: Place, file: &str) -> Option<Vec<String>> {
        let config = Config::parse(TEXT, "/srv/keyroll.toml").unwrap();
        let secret = config.secret("db").unwrap();
        let mut fields = Fields::new();
        fields.insert("user", SecretBytes::from("orders".to_owned()), false);
        fields.insert("password", SecretBytes::from("p@ss".to_owned()), true);
        let source = Source::Field(Name::new("password").unwrap());
        let asked = Copy { place, source, write: WriteMode::Rename, generated: None };
        let stands = Stands { asked: &asked, secret, known: &[fields], file: file.as_bytes() };
        let shown = |copy: &Copy| match (&copy.place, &copy.source) {
            (Place::Within { template, .. }, _) => template.clone(),
            (place, Source::Field(_)) => place.to_string(),
            (place, Source::Derived(name)) => format!("{place} {name}"),
            (_, Source::Template(_)) => unreachable!("only a part of a file has a template"),
        };
        Some(stands.forms()?.iter().map(shown).collect())
    }

    fn variable(file: &str) -> Option<Vec<String>> {
        forms(Place::EnvFile { path: "/srv/db.env".into(), variable: "DB".to_owned() }, file)
    }

    fn whole(file: &str) -> Option<Vec<String>> {
        forms(Place::File { path: "/srv/db.env".into() }, file)
    }

    #[test]
    fn the_value_of_a_variable_is_found_whole_derived_and_in_a_url() {
        let found = |form: &str| Some(vec![form.to_owned()]);
        assert_eq!(variable("DB=p@ss\n"), found("/srv/db.env (DB)"));
        assert_eq!(variable("DB=\"host=h user=orders password=p@ss\"\n"), found("/srv/db.env (DB) dsn"));
        assert_eq!(variable("DB=postgres://orders:p%40ss@h/d\n"), found("postgres://{user}:{password}@"));
        assert_eq!(variable("DB='redis://other:p%40ss@h/0'\n"), found("redis://other:{password}@"));
        // Another login of the same name: the name of the variable tells them apart.
        assert_eq!(
            variable("A=postgres://orders:else@g/d\nDB=\"postgres://orders:p%40ss@h/d\"\n"),
            found("DB=\"postgres://{user}:{password}@")
        );
    }

    #[test]
    fn what_keyroll_could_not_write_is_no_form() {
        for file in [
            "DB=else\n",
            "OTHER=p@ss\n",
            "DB=postgres://orders:else@h/d\n",
            "DB=https://h/?key=p%40ss\n",
            "DB=https://k3j4h5g6f7d8s9a0q1w2:p%40ss@h/\n",
        ] {
            assert_eq!(variable(file), None, "{file}");
        }
    }

    #[test]
    fn of_a_file_without_a_named_part_every_variable_with_the_value_is_found() {
        assert_eq!(whole("p@ss\n"), Some(vec!["/srv/db.env".to_owned()]));
        assert_eq!(
            whole("LOG=1\nA=p@ss\nB=else\nC=postgres://orders:p%40ss@h/d\n"),
            Some(vec!["/srv/db.env (A)".to_owned(), "postgres://{user}:{password}@".to_owned()])
        );
        assert_eq!(whole("LOG=1\n"), None);
    }
}
