//! The login of PostgreSQL or Redis that a secret is the password of: by the URL, or by the client's own variables, that
//! its copies hold it in. Everything else of a server is proposed.

use std::path::Path;

use keyroll_config::FoundCopy;
use keyroll_copy::{FieldValues, Format, Slot, Template};
use keyroll_needle::Encoding;
use keyroll_observe::image;
use keyroll_secret::SecretBytes;
use keyroll_trace::{Place, Survey, SurveyedSecret, User, ValueId, is_left_behind};

use crate::consumer_draft::Context;
use crate::pooler::{Reached, content, is_host, is_plain, poolers};

/// The longest name of a login, bytes: PostgreSQL takes 63, and a slot is longer by its ending.
const USER_BYTES_MAX: usize = 61;

/// The endings of the two logins that take turns.
const ENDINGS: [&str; 2] = ["_a", "_b"];

/// A kind of server, and how its clients name it.
struct Kind {
    /// As `issuer` names it.
    word: &'static str,
    title: &'static str,
    /// The schemes of its URLs; a driver may follow behind a `+`.
    schemes: &'static [&'static str],
    port: u16,
    /// Its logins belong to a database, whose usual name is that of the user.
    has_databases: bool,
    /// The variables of its clients: the password, the user, the host, the port, the database.
    variables: [&'static [&'static str]; 5],
    /// Its own programs: they hold passwords of logins, and are no consumers.
    programs: &'static [&'static str],
    guide: &'static str,
}

const KINDS: [Kind; 2] = [
    Kind {
        word: "postgres",
        title: "PostgreSQL",
        schemes: &["postgres", "postgresql"],
        port: 5432,
        has_databases: true,
        variables: [&["PGPASSWORD"], &["PGUSER"], &["PGHOST"], &["PGPORT"], &["PGDATABASE"]],
        programs: &["postgres", "pgbouncer"],
        guide: "docs/guides/rotate-a-postgresql-login.md",
    },
    Kind {
        word: "redis",
        title: "Redis",
        schemes: &["redis", "rediss"],
        port: 6379,
        has_databases: false,
        variables: [
            &["REDIS_PASSWORD"],
            &["REDIS_USERNAME", "REDIS_USER"],
            &["REDIS_HOST"],
            &["REDIS_PORT"],
            &[],
        ],
        // Debian's server is one program with several names.
        programs: &["redis-server", "redis-check-rdb", "valkey-server"],
        guide: "docs/guides/rotate-a-redis-user.md",
    },
];

/// A login of a server on which two logins take turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The server, as `issuer` names it.
    pub server: &'static str,
    /// The login that the consumers use now.
    pub user: String,
    /// The name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database, for a server whose logins belong to one.
    pub dbname: Option<String>,
    /// The role that owns the objects; the consumers may use it now.
    pub owner: String,
    /// The two logins that take turns.
    pub slots: [String; 2],
    /// What was found of it and what is proposed, as comments.
    pub notes: Vec<String>,
    /// The host and port as the copies write them.
    authority: Option<String>,
}

/// What the copies of a secret say of its login.
pub(crate) enum Recognised {
    /// Nothing.
    No,
    /// A login whose copies cannot be written as one, and why.
    Unfit(String),
    /// A login.
    Login(Box<Login>),
}

/// One copy of a login.
#[derive(PartialEq, Eq)]
struct At {
    kind: usize,
    user: String,
    host: Option<String>,
    port: Option<u16>,
    dbname: Option<String>,
    authority: Option<String>,
    place: String,
}

/// The login that all copies of a secret agree on.
pub(crate) fn recognised(around: &Context<'_>, found: &SurveyedSecret) -> Recognised {
    let copies = found.copies();
    let raw = copies.iter().filter(|(_, one)| one.encoding == Encoding::Raw);
    let files = raw.filter_map(|(place, one)| {
        let Place::File { path, line } = place else { return None };
        (!is_left_behind(path)).then_some((path, *line, one.name.as_deref()))
    });
    let mut all: Vec<At> = Vec::new();
    for (path, line, name) in files {
        let Some(bytes) = content(path) else { continue };
        let place = format!("{}:{line}", keyroll_observe::shown(path));
        let known = |value: &SecretBytes| holds(around.survey, found, value);
        all.extend(in_url(&bytes, line, &place, &known));
        all.extend(name.and_then(|name| in_variables(&bytes, name, &place, &known)));
    }
    let Some(first) = all.first() else { return Recognised::No };
    let Some(kind) = KINDS.get(first.kind) else { return Recognised::No };
    if let Some(other) = all.iter().find(|one| (one.kind, &one.user) != (first.kind, &first.user)) {
        return Recognised::Unfit(format!(
            "it is the password of more than one login: {} and {} name different ones; give each login its own",
            first.place, other.place
        ));
    }
    if first.user.is_empty() {
        return Recognised::Unfit(format!(
            "it is the password of {}, and {} names no user: write the user too, then init again: {}",
            kind.title, first.place, kind.guide
        ));
    }
    if !is_plain(&first.user) || first.user.len() > USER_BYTES_MAX {
        return Recognised::Unfit(format!(
            "it is the password of {}, and its user has a name that keyroll does not derive others from: {}",
            kind.title, kind.guide
        ));
    }
    Recognised::Login(Box::new(login(around, found, kind, &all)))
}

fn login(around: &Context<'_>, found: &SurveyedSecret, kind: &Kind, all: &[At]) -> Login {
    let first_of = |what: fn(&At) -> Option<String>| all.iter().find_map(what);
    let user = all.first().map(|one| one.user.clone()).unwrap_or_default();
    let dbname = || first_of(|one| one.dbname.clone()).unwrap_or_else(|| user.clone());
    let mut reached = Reached {
        host: first_of(|one| one.host.clone()).unwrap_or_else(|| "127.0.0.1".to_owned()),
        port: all.iter().find_map(|one| one.port).unwrap_or(kind.port),
        dbname: kind.has_databases.then(dbname),
        user,
    };
    let known = |value: &SecretBytes| holds(around.survey, found, value);
    let of_poolers = if kind.has_databases { poolers(around, &mut reached, &known) } else { Vec::new() };
    let Reached { user, host, port, dbname } = &reached;
    let login = Login::new(kind.word, user, (host, *port), dbname.as_deref());
    let notes = notes(kind, &login, all).into_iter().chain(of_poolers).collect();
    Login { notes, authority: first_of(|one| one.authority.clone()), ..login }
}

fn notes(kind: &Kind, login: &Login, all: &[At]) -> Vec<String> {
    let place = all.first().map_or("", |one| one.place.as_str());
    let mut notes = vec![format!("the login {} of {}, as {place} names it", login.user, kind.title)];
    let mut places: Vec<String> = all
        .iter()
        .filter_map(|one| Some(format!("{}:{}", one.host.as_deref()?, one.port.unwrap_or(kind.port))))
        .collect();
    places.sort_unstable();
    places.dedup();
    if places.len() > 1 {
        notes.push(format!("its copies name several servers ({}): write the right one", places.join(", ")));
    }
    notes.push(match (&login.dbname, login.owner == login.user) {
        (Some(_), true) => format!(
            "proposed, correct it if it is wrong: {} becomes the owner role, and {} and {} take turns as logins; keyroll \
             makes them: {}",
            login.owner, login.slots[0], login.slots[1], kind.guide
        ),
        (Some(_), false) => format!(
            "proposed, correct it if it is wrong: {} owns the objects, and {} and {} take turns as logins: {}",
            login.owner, login.slots[0], login.slots[1], kind.guide
        ),
        (None, _) => format!(
            "proposed, correct it if it is wrong: {} and {} take turns as users, with the rights of {}; keyroll makes \
             them: {}",
            login.slots[0], login.slots[1], login.user, kind.guide
        ),
    });
    notes
}

/// Whether all processes of a user are the server itself or its pooler.
pub(crate) fn is_server(login: &Login, user: &User) -> bool {
    let Some(kind) = KINDS.iter().find(|kind| kind.word == login.server) else { return false };
    let is_own = |process| {
        let exe = image(process).ok().map(|image| image.program.path);
        let name = exe.as_deref().and_then(Path::file_name);
        name.is_some_and(|name| kind.programs.iter().any(|own| name == *own))
    };
    !user.processes.is_empty() && user.processes.iter().all(is_own)
}

impl Login {
    /// A login with the two that take turns: `orders_a` and `orders_b` for `orders`, and for each of these two.
    pub fn new(server: &'static str, user: &str, (host, port): (&str, u16), dbname: Option<&str>) -> Self {
        let owner =
            ENDINGS.iter().find_map(|ending| user.strip_suffix(ending)).filter(|rest| !rest.is_empty());
        let owner = owner.unwrap_or(user).to_owned();
        Self {
            server,
            user: user.to_owned(),
            host: host.to_owned(),
            port,
            dbname: dbname.map(str::to_owned),
            slots: ENDINGS.map(|ending| format!("{owner}{ending}")),
            owner,
            notes: Vec::new(),
            authority: None,
        }
    }

    /// A copy as it is written for this login: the user changes with the password. `None` if the copy does not hold the user
    /// beside it.
    pub(crate) fn copies(
        &self,
        copy: &FoundCopy,
        folder: &Path,
        known: &dyn Fn(&SecretBytes) -> bool,
    ) -> Option<Vec<FoundCopy>> {
        let kind = KINDS.iter().find(|kind| kind.word == self.server)?;
        let text = |key: &str| copy.iter().find(|(own, _)| *own == key).map(|(_, text)| text.as_str());
        let path = text("env_file").or_else(|| text("file"))?;
        let bytes = content(&folder.join(path))?;
        if let Some(template) = text("template") {
            let template = self.template(template, &bytes, known)?;
            let with = |(key, text): &(&'static str, String)| match *key {
                "template" => (*key, template.clone()),
                _ => (*key, text.clone()),
            };
            return Some(vec![copy.iter().map(with).collect()]);
        }
        let [password, users, ..] = kind.variables;
        text("env_file")?;
        text("variable").filter(|name| password.contains(name))?;
        let user = users.iter().find(|name| variable(&bytes, name).as_deref() == Some(self.user.as_str()))?;
        let with_field = |field: &str| ("field", field.to_owned());
        let own = copy.iter().cloned().chain([with_field("password")]).collect();
        let beside = ("variable", (*user).to_owned());
        Some(vec![own, vec![("env_file", path.to_owned()), beside, with_field("user")]])
    }

    /// The text around both fields that finds this login and no other one in the file.
    fn template(
        &self,
        written: &str,
        bytes: &SecretBytes,
        known: &dyn Fn(&SecretBytes) -> bool,
    ) -> Option<String> {
        let now = format!("://{}:{{value", keyroll_template::escape(&self.user));
        let template = written.replacen(&now, "://{user}:{password", 1);
        let longer =
            self.authority.as_deref().map(|rest| format!("{template}{}", keyroll_template::escape(rest)));
        let finds = |template: &String| {
            let found = Template::parse(template).map(|one| one.find(bytes.expose())).unwrap_or_default();
            let is_this = |found: &FieldValues| {
                let user = found.get("user").is_some_and(|user| user.expose() == self.user.as_bytes());
                user && found.get("password").is_some_and(known)
            };
            !found.is_empty() && found.iter().all(is_this)
        };
        if template == written {
            return None;
        }
        std::iter::once(template).chain(longer).find(finds)
    }
}

/// Whether a value is one of the secret's.
pub(crate) fn holds(survey: &Survey, found: &SurveyedSecret, value: &SecretBytes) -> bool {
    survey.values.of(value).is_some_and(|id: ValueId| found.values.contains(&id))
}

/// The logins of the URLs in a line of a file.
fn in_url(bytes: &SecretBytes, line: u64, place: &str, known: &dyn Fn(&SecretBytes) -> bool) -> Vec<At> {
    let at = usize::try_from(line).ok().and_then(|line| line.checked_sub(1));
    let text = at.and_then(|at| bytes.expose().split(|byte| *byte == b'\n').nth(at));
    let Some(text) = text.and_then(|text| std::str::from_utf8(text).ok()) else { return Vec::new() };
    let urls = text.match_indices("://").filter_map(|(at, mark)| {
        let before = text.get(..at)?;
        let scheme =
            before.trim_end_matches(|letter: char| letter.is_ascii_alphanumeric() || "+-".contains(letter));
        let scheme = before.get(scheme.len()..)?.split('+').next()?;
        let kind = KINDS.iter().position(|kind| kind.schemes.contains(&scheme))?;
        let rest = text.get(at + mark.len()..)?;
        let ends = |letter: char| letter.is_whitespace() || "/?#\"'`".contains(letter);
        let (authority, behind) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
        let (login, authority) = authority.rsplit_once('@')?;
        let form = Template::parse("u://{user}:{password}@").ok()?;
        let mut fields = match login.strip_prefix(':') {
            // A template has no empty field.
            Some(_) => form.extract(&SecretBytes::from(format!("u://-{login}@")))?,
            None => form.extract(&SecretBytes::from(format!("u://{login}@")))?,
        };
        if !fields.get("password").is_some_and(known) {
            return None;
        }
        let user = fields.remove("user").filter(|_| !login.starts_with(':'));
        let user = user.map(|user| String::from_utf8_lossy(user.expose()).into_owned());
        let (host, port) = host_and_port(authority)?;
        let path = behind.strip_prefix('/').unwrap_or_default();
        let dbname = path.get(..path.find(ends).unwrap_or(path.len())).filter(|name| is_plain(name));
        Some(At {
            kind,
            user: user.unwrap_or_default(),
            host: Some(host),
            port,
            dbname: dbname.map(str::to_owned),
            authority: Some(authority.to_owned()),
            place: place.to_owned(),
        })
    });
    urls.collect()
}

/// The login of the variables beside the variable of a password.
fn in_variables(
    bytes: &SecretBytes,
    name: &str,
    place: &str,
    known: &dyn Fn(&SecretBytes) -> bool,
) -> Option<At> {
    let kind = KINDS.iter().position(|kind| kind.variables[0].contains(&name))?;
    let [_, user, host, port, dbname] = KINDS.get(kind)?.variables;
    let own = Format::Dotenv.read(bytes.expose(), &Slot::Variable(name.to_owned())).ok().flatten()?;
    if !known(&own) {
        return None;
    }
    let said = |names: &[&str]| names.iter().find_map(|name| variable(bytes, name));
    Some(At {
        kind,
        user: said(user).unwrap_or_default(),
        host: said(host).filter(|host| is_host(host)),
        port: said(port).and_then(|port| port.parse().ok()),
        dbname: said(dbname).filter(|name| is_plain(name)),
        authority: None,
        place: place.to_owned(),
    })
}

/// A variable of an env file that is not a secret; none if it is empty.
fn variable(bytes: &SecretBytes, name: &str) -> Option<String> {
    let value = Format::Dotenv.read(bytes.expose(), &Slot::Variable(name.to_owned())).ok().flatten()?;
    let text = std::str::from_utf8(value.expose()).ok()?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// Host and port of one server; none if several stand there, or none does.
fn host_and_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, port.strip_prefix(':'))
        }
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = port.filter(|port| !port.is_empty()).map(str::parse).transpose().ok()?;
    is_host(host).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kind, the user, the host, the port and the database.
    type Found = (&'static str, String, Option<String>, Option<u16>, Option<String>);

    fn at(text: &str, name: &str) -> Option<Found> {
        let bytes = SecretBytes::from(text.to_owned());
        let known = |value: &SecretBytes| value.expose() == b"the value" || value.expose() == b"value";
        let all = in_url(&bytes, 1, "here", &known);
        let one = all.into_iter().next().or_else(|| in_variables(&bytes, name, "here", &known))?;
        Some((KINDS[one.kind].word, one.user, one.host, one.port, one.dbname))
    }

    #[test]
    fn a_login_is_known_by_its_url_or_by_the_variables_of_its_client() {
        let some = |text: &str| Some(text.to_owned());
        let shop = || "shop".to_owned();
        for (text, name, wanted) in [
            (
                "U=postgresql://shop:value@db.example:6432/orders?sslmode=require",
                "U",
                ("postgres", shop(), some("db.example"), Some(6432), some("orders")),
            ),
            (
                "U=\"postgres+asyncpg://shop:the%20value@[::1]/orders\"",
                "U",
                ("postgres", shop(), some("::1"), None, some("orders")),
            ),
            (
                "U=redis://shop:value@127.0.0.1:6379/0",
                "U",
                ("redis", shop(), some("127.0.0.1"), Some(6379), some("0")),
            ),
            ("U=redis://:value@cache", "U", ("redis", String::new(), some("cache"), None, None)),
            (
                "PGPASSWORD=value\nPGUSER=shop\nPGHOST=/run/postgresql\nPGDATABASE=orders\n",
                "PGPASSWORD",
                ("postgres", shop(), some("/run/postgresql"), None, some("orders")),
            ),
            (
                "REDIS_PASSWORD='value'\nREDIS_USERNAME=shop\nREDIS_PORT=6380\n",
                "REDIS_PASSWORD",
                ("redis", shop(), None, Some(6380), None),
            ),
        ] {
            assert_eq!(at(text, name), Some(wanted), "{text}");
        }
        for text in [
            "U=postgresql://shop:other@127.0.0.1/shop",
            "U=postgresql://shop:value@one,two/shop",
            "U=https://shop:value@127.0.0.1/shop",
            "DB_PASSWORD=value",
        ] {
            assert_eq!(at(text, "DB_PASSWORD"), None, "{text}");
        }
    }

    #[test]
    fn a_copy_is_written_with_the_user_beside_the_password() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        put("one.env", "U=postgresql://shop:value@127.0.0.1:5432/shop\n");
        put("two.env", "A=postgresql://shop:value@db:1/shop\nB=postgresql://bill:other@db:2/bill\n");
        put("pg.env", "PGUSER=shop\nPGPASSWORD=value\n");
        put("alone.env", "PGPASSWORD=value\n");
        let login = Login {
            authority: Some("db:1".to_owned()),
            ..Login::new("postgres", "shop", ("127.0.0.1", 6432), None)
        };
        let known = |value: &SecretBytes| value.expose() == b"value";
        let within = |file: &str, text: &str| -> FoundCopy {
            vec![("file", file.to_owned()), ("template", text.to_owned())]
        };
        let now = "postgresql://shop:{value}@";
        let copies = |copy: &FoundCopy| login.copies(copy, folder.path(), &known);
        let then = "postgresql://{user}:{password}@";
        assert_eq!(copies(&within("./one.env", now)), Some(vec![within("./one.env", then)]));
        let longer = format!("{then}db:1");
        assert_eq!(copies(&within("./two.env", now)), Some(vec![within("./two.env", &longer)]));
        let variable = |file: &str, name: &str| -> FoundCopy {
            vec![("env_file", file.to_owned()), ("variable", name.to_owned())]
        };
        let with = |mut copy: FoundCopy, field: &str| {
            copy.push(("field", field.to_owned()));
            copy
        };
        assert_eq!(
            copies(&variable("./pg.env", "PGPASSWORD")),
            Some(vec![
                with(variable("./pg.env", "PGPASSWORD"), "password"),
                with(variable("./pg.env", "PGUSER"), "user")
            ])
        );
        assert_eq!(copies(&variable("./alone.env", "PGPASSWORD")), None);
        assert_eq!(copies(&vec![("file", "./one.env".to_owned())]), None);
    }
}
