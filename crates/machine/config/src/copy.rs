use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use keyroll_copy::{Format, Part};

use crate::at::At;
use crate::mistake::Mistake;
use crate::path::resolve;
use crate::shape::ReadShape;
use crate::{Argv, FieldSpec, Kind, Name, Template};

/// The place of a copy on a machine or in a cluster. No two secrets may declare the same place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// One variable of a file of `NAME=value` lines.
    EnvFile {
        /// The file, absolute.
        path: PathBuf,
        /// The variable.
        variable: String,
    },
    /// A whole file.
    File {
        /// The file, absolute.
        path: PathBuf,
    },
    /// One value in a file of a known format.
    Inside {
        /// The file, absolute.
        path: PathBuf,
        /// How it is read.
        format: Format,
        /// Where in it, in the words of the format.
        at: String,
        /// The part of an entry, if entries have parts.
        part: Option<Part>,
    },
    /// The password of one login in PgBouncer's list of logins.
    Userlist {
        /// The file, absolute.
        path: PathBuf,
        /// The field of the login's name.
        user: Name,
    },
    /// A part of a file, found by the text around it.
    Within {
        /// The file, absolute.
        path: PathBuf,
        /// The template's text; [`Copy::source`] has its pieces.
        template: String,
    },
    /// A whole key of a Secret in a cluster.
    Key {
        /// What tells it from the other places of the cluster: `secret/NAME/KEY`; if each version has a Secret of its own name,
        /// with the workload before it.
        path: PathBuf,
        /// The name of the Secret.
        secret: String,
        /// The key.
        key: String,
    },
}

impl Place {
    /// The file that the place is in, absolute; of a key of a Secret what stands for one.
    pub fn path(&self) -> &Path {
        match self {
            Self::EnvFile { path, .. }
            | Self::File { path }
            | Self::Inside { path, .. }
            | Self::Userlist { path, .. }
            | Self::Within { path, .. }
            | Self::Key { path, .. } => path,
        }
    }
}

/// `/srv/api.env (ACME_KEY)`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EnvFile { path, variable } => write!(f, "{} ({variable})", path.display()),
            Self::File { path } => write!(f, "{}", path.display()),
            Self::Inside { path, at, part: Some(Part::User), .. } => {
                write!(f, "{} (the user at {at})", path.display())
            }
            Self::Inside { path, at, .. } => write!(f, "{} ({at})", path.display()),
            Self::Userlist { path, .. } => write!(f, "{} (userlist)", path.display()),
            Self::Within { path, .. } => write!(f, "{} (template)", path.display()),
            Self::Key { secret, key, .. } => write!(f, "secret/{secret} {key}"),
        }
    }
}

/// The content of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// One field.
    Field(Name),
    /// One derived text.
    Derived(Name),
    /// The fields of the template of [`Place::Within`].
    Template(Template),
}

/// How a copy is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WriteMode {
    /// A new file replaces the old one atomically.
    Rename,
    /// The file is overwritten in place: for a file that is a mount of its own, because a mount keeps the old inode
    /// after a rename.
    InPlace,
}

/// One copy that a consumer starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// The place.
    pub place: Place,
    /// The content.
    pub source: Source,
    /// How it is written.
    pub write: WriteMode,
    /// The command that generates its file; then keyroll does not write the file.
    pub generated: Option<Argv>,
}

impl Copy {
    /// A part of a file, found by the text around it; none if the text is no template of these fields.
    pub fn within(path: PathBuf, template: String, fields: &BTreeMap<Name, FieldSpec>) -> Option<Self> {
        let source = Source::Template(Template::read(&template, &(0..0), fields).ok()?);
        Some(Self {
            place: Place::Within { path, template },
            source,
            write: WriteMode::Rename,
            generated: None,
        })
    }

    pub(crate) fn build(
        shape: &ReadShape,
        whole: &Range<usize>,
        folder: &Path,
        fields: &BTreeMap<Name, FieldSpec>,
        derived: &BTreeMap<Name, Template>,
    ) -> Result<Self, Mistake> {
        let wrong = |why: &str| Mistake::new(Kind::BadCombination, why).at(whole).help(FORMS);
        let write = match &shape.write {
            None => WriteMode::Rename,
            Some(text) => match text.value.as_str() {
                "rename" => WriteMode::Rename,
                "in_place" => WriteMode::InPlace,
                _ => return Err(Mistake::one_of("write", text, &["rename", "in_place"])),
            },
        };
        let generated = shape.generated.as_ref();
        let generated = generated.map(|words| Argv::read(folder, "generated", words, &[])).transpose()?;
        if generated.is_some() && shape.write.is_some() {
            return Err(wrong("`generated` and `write` do not go together: such a file is not written"));
        }
        if let Some(template) = &shape.template
            && (shape.field.is_some() || shape.derived.is_some())
        {
            return Err(wrong("`template` already names its fields").at(&template.span));
        }
        if let Some(key) = shape.at.as_ref().or(shape.part.as_ref()).filter(|_| shape.format.is_none()) {
            return Err(wrong("`at` and `part` need `format`").at(&key.span));
        }
        if let Some(format) = shape.format.as_ref().filter(|format| format.value == USERLIST) {
            let place = userlist(shape, format, folder, fields)?;
            return Ok(Self {
                place,
                source: named_source(shape, whole, fields, derived)?,
                write,
                generated,
            });
        }
        if let Some(format) = &shape.format {
            let place = inside(shape, format, folder)?;
            return Ok(Self {
                place,
                source: named_source(shape, whole, fields, derived)?,
                write,
                generated,
            });
        }
        let (place, source) = match (&shape.env_file, &shape.variable, &shape.file, &shape.template) {
            (Some(file), Some(variable), None, None) => {
                let path = resolve(folder, "env_file", file)?;
                let variable = read_variable(variable)?;
                (Place::EnvFile { path, variable }, named_source(shape, whole, fields, derived)?)
            }
            (None, None, Some(file), None) => {
                let path = resolve(folder, "file", file)?;
                (Place::File { path }, named_source(shape, whole, fields, derived)?)
            }
            (None, None, Some(file), Some(template)) => {
                let path = resolve(folder, "file", file)?;
                let parsed = Template::read(&template.value, &template.span, fields)?;
                (Place::Within { path, template: template.value.clone() }, Source::Template(parsed))
            }
            (Some(_), None, None, None) => return Err(wrong("`env_file` needs `variable`")),
            (None, Some(_), _, _) => return Err(wrong("`variable` needs `env_file`")),
            (None, None, None, _) => return Err(wrong("a copy needs `env_file` or `file`")),
            (Some(_), _, _, _) => return Err(wrong("`env_file` goes with `variable` alone")),
        };
        Ok(Self { place, source, write, generated })
    }
}

/// PgBouncer's `auth_file`.
pub(crate) const USERLIST: &str = "userlist";

/// A list of logins, in which the secret's login is found by its name.
fn userlist(
    shape: &ReadShape,
    format: &At<String>,
    folder: &Path,
    fields: &BTreeMap<Name, FieldSpec>,
) -> Result<Place, Mistake> {
    let wrong = |why: &str| Mistake::new(Kind::BadCombination, why).at(&format.span).help(FORMS);
    let more = [&shape.env_file, &shape.variable, &shape.at, &shape.part, &shape.template];
    let Some(file) = shape.file.as_ref().filter(|_| more.into_iter().all(Option::is_none)) else {
        return Err(wrong(
            "`format = \"userlist\"` goes with `file` alone: its line is found by the field `user`",
        ));
    };
    let user = fields.get_key_value("user").map(|(name, _)| name.clone());
    let user = user.ok_or_else(|| wrong("a list of logins needs the field `user`"))?;
    Ok(Place::Userlist { path: resolve(folder, "file", file)?, user })
}

/// A value in a file of a known format.
fn inside(shape: &ReadShape, format: &At<String>, folder: &Path) -> Result<Place, Mistake> {
    let wrong = |why: &str| Mistake::new(Kind::BadCombination, why).at(&format.span).help(FORMS);
    let names: Vec<&str> = Format::NAMED.iter().map(|(name, _)| *name).chain([USERLIST]).collect();
    let form = Format::named(&format.value).ok_or_else(|| Mistake::one_of("format", format, &names))?;
    if shape.env_file.is_some() || shape.variable.is_some() || shape.template.is_some() {
        return Err(wrong("`format` goes with `file` and `at` alone"));
    }
    let (Some(file), Some(at)) = (&shape.file, &shape.at) else {
        return Err(wrong("`format` needs `file` and `at`"));
    };
    let entries = form.has_entries();
    let pointer = !entries && form != Format::Npmrc;
    if at.value.is_empty() || at.value.chars().any(char::is_control) || pointer && !at.value.starts_with('/')
    {
        let why = "`at` is not a place of such a file; a pointer begins with /, as in /models/openai/apiKey";
        return Err(Mistake::new(Kind::BadCombination, why).at(&at.span));
    }
    let part = match (&shape.part, entries) {
        (None, false) => None,
        (None, true) => Some(Part::Password),
        (Some(text), true) => Some(match text.value.as_str() {
            "user" => Part::User,
            "password" => Part::Password,
            _ => return Err(Mistake::one_of("part", text, &["user", "password"])),
        }),
        (Some(text), false) => {
            return Err(wrong("`part` belongs to `pgpass`, `netrc` and `git_credentials`").at(&text.span));
        }
    };
    let path = resolve(folder, "file", file)?;
    Ok(Place::Inside { path, format: form, at: at.value.clone(), part })
}

const FORMS: &str = "the forms are: { env_file = \"./x.env\", variable = \"NAME\" } · { file = \"./x\" } · \
                     { file = \"./x.json\", format = \"json\", at = \"/a/b\" } · \
                     { file = \"./x\", template = \"…{value}…\" }";

/// The content of a copy without a template: a field, a derived text, or the only secret field.
pub(crate) fn named_source(
    shape: &ReadShape,
    whole: &Range<usize>,
    fields: &BTreeMap<Name, FieldSpec>,
    derived: &BTreeMap<Name, Template>,
) -> Result<Source, Mistake> {
    let unknown = |what: &str, text: &At<String>, known: Vec<&str>| {
        Mistake::new(Kind::BadPlaceholder, format!("`{what}` names nothing that this secret has"))
            .at(&text.span)
            .help(format!("known: {}", known.join(", ")))
    };
    match (&shape.field, &shape.derived) {
        (Some(field), Some(_)) => {
            Err(Mistake::new(Kind::BadCombination, "`field` and `derived` do not go together")
                .at(&field.span))
        }
        (Some(text), None) => match fields.get_key_value(text.value.as_str()) {
            Some((name, _)) => Ok(Source::Field(name.clone())),
            None => Err(unknown("field", text, fields.keys().map(Name::as_str).collect())),
        },
        (None, Some(text)) => match derived.get_key_value(text.value.as_str()) {
            Some((name, _)) => Ok(Source::Derived(name.clone())),
            None => Err(unknown("derived", text, derived.keys().map(Name::as_str).collect())),
        },
        (None, None) => {
            let mut secret = fields.iter().filter(|(_, spec)| spec.secret).map(|(name, _)| name);
            match (secret.next(), secret.next()) {
                (Some(only), None) => Ok(Source::Field(only.clone())),
                _ => Err(Mistake::new(
                    Kind::BadCombination,
                    "the secret has several secret fields: say which with `field`",
                )
                .at(whole)),
            }
        }
    }
}

/// Whether a shell accepts this name for a variable.
fn read_variable(text: &At<String>) -> Result<String, Mistake> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let starts = text.value.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    match starts && text.value.len() <= 256 && text.value.bytes().all(word) {
        true => Ok(text.value.clone()),
        false => Err(Mistake::new(
            Kind::BadName,
            "`variable` must be letters, digits and _, and not begin with a digit",
        )
        .at(&text.span)),
    }
}
