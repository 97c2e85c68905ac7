use keyroll_config::{FILL_IN, Name};
use keyroll_draft::{Form, Login};
use keyroll_issuer::Spec;

/// The issuer of a secret, as far as the form of its values tells.
pub(crate) struct Issuer {
    /// As it is written in the configuration.
    pub written: String,
    /// The admin credential's reference.
    pub admin: Option<String>,
    pub notes: Vec<String>,
    /// What the operator has to fill in.
    pub open: Vec<String>,
    /// The table of its server below the secret, as it is written.
    pub table: Option<String>,
}

/// By the login that the copies hold: everything but the file of the admin's login stands there or is proposed.
pub(crate) fn of_login(login: &Login, name: &Name) -> Issuer {
    let file = format!("./{name}-admin");
    let what = format!("{file}, one line user:password of an admin login, mode 0600");
    let mut notes = login.notes.clone();
    notes.push(format!("write the file of `admin`: {what}"));
    Issuer {
        written: login.server.to_owned(),
        admin: Some(format!("file:{file}")),
        notes,
        open: vec![format!("{name}: the file {what}: keyroll plan {name} says who may be the admin")],
        table: Some(table(login, name)),
    }
}

/// The table of a server: names and numbers that need no escape in TOML.
fn table(login: &Login, name: &Name) -> String {
    // A dot would begin another key.
    let key = if name.as_str().contains('.') { format!("\"{name}\"") } else { name.to_string() };
    let mut lines = vec![
        format!("[secrets.{key}.{}]", login.server),
        format!("host = \"{}\"", login.host),
        format!("port = {}", login.port),
    ];
    if let Some(dbname) = &login.dbname {
        lines.push(format!("dbname = \"{dbname}\""));
        lines.push(format!("owner_role = \"{}\"", login.owner));
    }
    let [one, other] = &login.slots;
    lines.push(format!("slots = [\"{one}\", \"{other}\"]"));
    lines.join("\n") + "\n"
}

/// By the form of the values only: names prove nothing.
pub(crate) fn issuer(form: &Form, name: &str) -> Issuer {
    let title = form.title.as_deref();
    match form.issuer.as_deref().filter(|spec| Spec::shipped(spec).is_ok()) {
        Some(spec) => shipped(name, spec, title.unwrap_or("key")),
        None => unknown(name, title),
    }
}

fn shipped(name: &str, spec: &str, title: &str) -> Issuer {
    let article = if title.starts_with(|first: char| "AEIOaeio".contains(first)) { "an" } else { "a" };
    let mut notes = vec![format!("it has the form of {article} {title}: keyroll issuers show {spec}")];
    let needs = Spec::shipped(spec).is_ok_and(|spec| spec.needs_admin());
    let admin = needs.then(|| format!("file:./{FILL_IN}-{name}-admin.key"));
    let mut open = Vec::new();
    if admin.is_some() {
        let what = "the file with the credential that may make and revoke such keys, mode 0600";
        notes.push(format!("fill in `admin`: {what}"));
        open.push(format!("{name}: `admin`, {what}"));
    }
    Issuer { written: spec.to_owned(), admin, notes, open, table: None }
}

/// Names a spec file that does not exist. `doctor` reports it until the operator has named the right one.
fn unknown(name: &str, title: Option<&str>) -> Issuer {
    let mut notes = Vec::new();
    if let Some(title) = title {
        notes.push(format!("it has the form of: {title}"));
    }
    let what = "its form does not identify the issuer";
    notes.push(format!(
        "fill in `issuer` ({what}): a name from keyroll issuers list, {}, {}, \
         or your own spec (docs/guides/write-an-issuer.md); and `admin` if it needs one",
        keyroll_config::IssuerRef::server_words().join(", "),
        keyroll_config::IssuerRef::aws_word()
    ));
    let open = vec![format!("{name}: `issuer`, {what}; `admin` if it needs one")];
    Issuer { written: format!("file:./{FILL_IN}-{name}-issuer.toml"), admin: None, notes, open, table: None }
}

#[cfg(test)]
mod tests {
    use keyroll_draft::SURE;
    use keyroll_issuer::Spec;

    #[test]
    fn a_server_has_its_table_under_the_name_of_its_secret() {
        let name = keyroll_config::Name::new("orders.db").unwrap();
        let login = keyroll_draft::Login::new("postgres", "orders_b", ("db.example", 5432), Some("shop"));
        let text = super::table(&login, &name);
        assert_eq!(
            text,
            "[secrets.\"orders.db\".postgres]\nhost = \"db.example\"\nport = 5432\ndbname = \"shop\"\n\
             owner_role = \"orders\"\nslots = [\"orders_a\", \"orders_b\"]\n"
        );
        let head = "version = 1\n[secrets.\"orders.db\"]\nissuer = \"postgres\"\nadmin = \"file:./a\"\n";
        keyroll_config::Config::parse(&format!("{head}{text}"), "/srv/keyroll.toml").unwrap();
    }

    #[test]
    fn the_form_has_the_article_of_its_name() {
        let note = |title: &str| super::shipped("x", SURE[0].2, title).notes.remove(0);
        assert!(note("Anthropic key").starts_with("it has the form of an Anthropic key: "));
        assert!(note("GitHub token").starts_with("it has the form of a GitHub token: "));
    }

    #[test]
    fn every_sure_kind_is_a_rule_and_a_shipped_spec() {
        let rules = keyroll_leak::Rules::shipped().unwrap();
        for (id, begins, spec) in SURE {
            let rule =
                rules.iter().find(|rule| rule.id == id).unwrap_or_else(|| panic!("there is no rule {id}"));
            assert!(begins.is_empty() || rule.begins.iter().any(|own| own == begins), "{id}: {begins}");
            assert!(Spec::shipped(spec).is_ok(), "there is no spec {spec}");
        }
    }
}
