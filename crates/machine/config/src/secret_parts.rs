//! The parts of a secret, and what its issuer needs to be reached.

use std::collections::BTreeMap;
use std::path::Path;

use keyroll_logins::Table;

use crate::at::At;
use crate::broken::Broken;
use crate::login_table::{self, WrittenTable};
use crate::mistake::Mistake;
use crate::mistakes::{Mistakes, Read};
use crate::shape::SecretKeys;
use crate::{AwsUser, FieldSpec, IssuerRef, Kind, Name, Template};

/// The tables of servers, by their words.
type Servers = BTreeMap<&'static str, At<WrittenTable>>;

/// The parts of a credential.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) fields: BTreeMap<Name, FieldSpec>,
    pub(crate) derived: BTreeMap<Name, Template>,
}

impl Parts {
    pub(crate) fn read(
        shape: &SecretKeys,
        issuer: Read<&IssuerRef>,
        broken: &Broken,
        all: &mut Mistakes,
    ) -> Read<Self> {
        if broken.has("fields") {
            return None;
        }
        let fields = read_fields(shape, issuer, all)?;
        let derived = read_derived(shape, &fields, all)?;
        (!broken.has("derived")).then_some(Self { fields, derived })
    }
}

/// The fields: as written, or the usual ones of the issuer.
fn read_fields(
    shape: &SecretKeys,
    issuer: Read<&IssuerRef>,
    all: &mut Mistakes,
) -> Read<BTreeMap<Name, FieldSpec>> {
    let Some(written) = &shape.fields else {
        let usual = issuer?.usual_fields().iter();
        let named = |(name, secret): &(&str, bool)| Some((Name::new(*name)?, FieldSpec { secret: *secret }));
        return Some(usual.filter_map(named).collect());
    };
    let fields = written.iter().map(|(key, field)| {
        Name::read("a field", key).map(|name| (name, FieldSpec { secret: field.secret.unwrap_or(true) }))
    });
    let fields: BTreeMap<Name, FieldSpec> = all.note_all(fields)?.into_iter().collect();
    if !fields.values().any(|field| field.secret) {
        let fault = Mistake::new(Kind::BadCombination, "none of the fields is secret");
        all.push(written.keys().fold(fault, |fault, key| fault.at(&key.span)));
        return None;
    }
    Some(fields)
}

fn read_derived(
    shape: &SecretKeys,
    fields: &BTreeMap<Name, FieldSpec>,
    all: &mut Mistakes,
) -> Read<BTreeMap<Name, Template>> {
    let read = |(key, text): (&At<String>, &At<String>)| -> Result<(Name, Template), Mistake> {
        let name = Name::read("a derived text", key)?;
        if fields.contains_key(&name) {
            return Err(Mistake::new(Kind::Duplicate, format!("`{name}` is a field already")).at(&key.span));
        }
        Ok((name, Template::read(&text.value, &text.span, fields)?))
    };
    all.note_all(shape.derived.iter().map(read)).map(|derived| derived.into_iter().collect())
}

/// What the issuer needs to be reached.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) host: Option<String>,
    pub(crate) server: Option<Table>,
    pub(crate) aws: Option<AwsUser>,
}

impl Access {
    pub(crate) fn read(
        shape: &SecretKeys,
        issuer: &IssuerRef,
        (folder, servers): (&Path, &Servers),
        broken: &Broken,
        all: &mut Mistakes,
    ) -> Read<Self> {
        let host = all.note(issuer.host(shape.issuer_host.as_ref()));
        let server = match issuer.server().is_some_and(|server| broken.has(server.word)) {
            true => None,
            false => read_server(&shape.issuer, issuer, (folder, servers), all),
        };
        let aws = if broken.has("aws") { None } else { read_aws(shape, issuer, all) };
        Some(Self { host: host?, server: server?, aws: aws? })
    }
}

/// The IAM user, if the issuer is AWS. keyroll's own login there stands in no file of its own.
fn read_aws(shape: &SecretKeys, issuer: &IssuerRef, all: &mut Mistakes) -> Read<Option<AwsUser>> {
    let fault = |why: &str, at: &At<String>| Mistake::new(Kind::BadCombination, why).at(&at.span);
    if *issuer != IssuerRef::AwsAccessKey {
        let Some(table) = &shape.aws else { return Some(None) };
        let why = "`aws` goes with `issuer = \"aws-access-key\"` only";
        return all.note(Err(Mistake::new(Kind::BadCombination, why).at(&table.span)));
    }
    if let Some(admin) = &shape.admin {
        all.push(fault("`admin` does not go with `issuer = \"aws-access-key\"`", admin).help(
            "keyroll's login is that of a profile (`aws.profile`), or of the usual AWS configuration: a role, SSO, the \
             environment",
        ));
    }
    let Some(table) = &shape.aws else {
        let why = "`issuer = \"aws-access-key\"` needs a `[secrets.<name>.aws]` table";
        return all.note(Err(fault(why, &shape.issuer).help(
            "with `user`, the name of the IAM user, `account`, the number of its account (`account = \"123456789012\"`), and \
             `region`",
        )));
    };
    AwsUser::read(table, all).map(Some)
}

/// The table of the issuer, if it is a server. A table of another server is refused.
fn read_server(
    text: &At<String>,
    issuer: &IssuerRef,
    (folder, servers): (&Path, &Servers),
    all: &mut Mistakes,
) -> Read<Option<Table>> {
    let own = issuer.server();
    let others = servers.iter().filter(|(word, _)| own.is_none_or(|server| server.word != **word));
    let before = all.count();
    for (word, table) in others {
        let why = format!("`{word}` goes with `issuer = \"{word}\"` only");
        all.push(Mistake::new(Kind::BadCombination, why).at(&table.span));
    }
    if all.count() > before {
        return None;
    }
    let Some(server) = own else { return Some(None) };
    let Some(table) = servers.get(server.word) else {
        let why = format!("`issuer = \"{0}\"` needs a `[secrets.<name>.{0}]` table", server.word);
        return all.note(Err(Mistake::new(Kind::BadCombination, why)
            .at(&text.span)
            .help(format!("with {}", login_table::required(server)))));
    };
    login_table::read(server, table, folder, all).map(Some)
}
