//! Opens a rotation: checks what the driver sent, and makes this machine's part of the setup.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use keyroll_codes::Code;
use keyroll_config::{CONFIG_BYTES_MAX, Config, ConfigError, Consumer, Name, Search};
use keyroll_host::{FileSetup, LOCAL, Local, read, resolve};
use keyroll_link::{FileNow, IssuerForm, OpenOrder, Order, PlannedForm, bytes_of};
use keyroll_port::{Class, Failure};
use keyroll_secret::FingerprintKey;
use keyroll_setup::trust::{refuse_missing, refuse_objections, refuse_untrusted, trusted_commands};
use keyroll_setup::{Composed, Composition, Folders, IssuerFacts, compose};
use zeroize::Zeroizing;

use super::fence::Claim;
use crate::failed::no_order;

/// How many hex digits an installation's id has.
const INSTALLATION_DIGITS: usize = 32;

/// How many hex digits a driver draws.
const DRIVER_DIGITS: usize = 32;

/// The longest id of a rotation: it is part of names of files.
const ROTATION_DIGITS_MAX: usize = 64;

/// The longest search that a driver may ask for, milliseconds: the configuration allows eight minutes.
const SEARCH_MS_MAX: u64 = 3_600_000;

/// Who opens which rotation.
///
/// # Errors
/// A text of the order has another form. It is not repeated.
pub(super) fn claim_of(order: &OpenOrder) -> Result<Claim, Failure> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let OpenOrder { installation, secret, rotation, epoch, driver, turn, .. } = order;
    if installation.len() != INSTALLATION_DIGITS || !digits(installation) {
        return Err(no_order("the id of the installation has another form"));
    }
    if rotation.len() > ROTATION_DIGITS_MAX || !digits(rotation) {
        return Err(no_order("the id of the rotation has another form"));
    }
    let is_number = |driver: &str| driver.len() == DRIVER_DIGITS && digits(driver);
    if !is_number(driver) || !order.before.iter().all(|(_, before)| is_number(before)) {
        return Err(no_order("what a driver drew has another form"));
    }
    if Name::new(secret.as_str()).is_none() {
        return Err(no_order("the name of the secret has another form"));
    }
    let (installation, secret, rotation) = (installation.clone(), secret.clone(), rotation.clone());
    Ok(Claim { secret, installation, epoch: *epoch, driver: driver.clone(), turn: *turn, rotation })
}

/// This machine with the consumers of the slice, and its files if the plan is being made. `state`: the folder of the
/// installation's records here. Nothing is changed.
///
/// # Errors
/// The order has another form; the slice or its secret cannot be used here; it needs to see opens, which are not visible
/// here; another user can change what its commands run; or, while the plan is being made, a file cannot be read.
pub(super) fn opened(order: &OpenOrder, state: &Path) -> Result<(Machine, Vec<FileNow>), Failure> {
    let folder = folder(&order.folder)?;
    let key = bytes_of(&order.digests).map(Zeroizing::new);
    let key = key.ok_or_else(|| no_order("the key of the digests has another form"))?;
    let key = FingerprintKey::new(&key);
    let config = config(&order.config, folder)?;
    let secret = config.secret(&order.secret).map_err(|near| {
        let attempted = format!("find the secret {} in what keyroll sent", order.secret);
        Failure::new(Class::Permanent, Code::NameNotFound, attempted).because(near)
    })?;
    // A host without a consumer is only searched.
    if !secret.consumers.is_empty() {
        refuse_missing_folder(folder)?;
    }
    refuse_unseen_reads(order, keyroll_observe::sees_opens())?;
    // Later an order that runs a command is checked by itself: what is wrong with one consumer does not hold up the others.
    if order.planned == PlannedForm::Now {
        refuse_missing(secret)?;
        refuse_untrusted(folder, secret)?;
        refuse_objections(secret)?;
    }
    let planned = planned(&order.planned);
    let composed = compose(&Composition {
        secret,
        issuer: &facts(&order.issuer),
        folders: Folders { config: folder, state, keys: None },
        host: LOCAL,
        rotation: &order.rotation,
        search: Some(&search(order, &config)?),
        planned: planned.as_ref(),
        own: None,
        served: None,
    })?;
    let Composed { mut setup, .. } = composed;
    // The driver asks for the error rate itself.
    setup.gate = None;
    let files = match order.planned {
        PlannedForm::Now => files_now(&mut setup.files, &key)?,
        PlannedForm::Unknown | PlannedForm::Known(_) => Vec::new(),
    };
    let (folder, consumers) = (folder.to_owned(), secret.consumers.clone());
    Ok((Machine { local: Local::new(setup, key), folder, consumers }, files))
}

/// This machine in a rotation.
pub(super) struct Machine {
    pub(super) local: Local,
    folder: PathBuf,
    consumers: Vec<Consumer>,
}

impl Machine {
    /// Whether a consumer is here: a host without one is only searched.
    pub(super) fn has_consumers(&self) -> bool {
        !self.consumers.is_empty()
    }

    /// Refuses an order that runs a command which another user can change.
    ///
    /// # Errors
    /// Another user can change it now. Nothing was run.
    pub(super) fn trust(&self, order: &Order) -> Result<(), Failure> {
        let consumer = match order {
            Order::Fetch { consumer, .. } | Order::Apply { consumer, .. } => *consumer,
            Order::Prepare { of, .. } => of.consumer,
            Order::Survey(_) => {
                let alone = |one| trusted_commands(Vec::new(), &self.folder, [one]);
                return self.consumers.iter().try_for_each(alone);
            }
            Order::Open(_)
            | Order::Copies { .. }
            | Order::Live
            | Order::Trial { .. }
            | Order::Carries { .. }
            | Order::Deliver { .. }
            | Order::Delivered { .. }
            | Order::RemoveSuperseded { .. }
            | Order::BeforeGivenOut { .. }
            | Order::AwaitEnd { .. }
            | Order::Enumerate { .. }
            | Order::Go { .. }
            | Order::Describe { .. }
            | Order::WatchRefusals
            | Order::Refusals
            | Order::Caller { .. }
            | Order::Sweep { .. }
            | Order::Search(_) => return Ok(()),
        };
        trusted_commands(Vec::new(), &self.folder, self.consumers.get(usize::from(consumer)))
    }
}

/// Refuses `read` evidence if opens of the files are not visible: the rotation would wait for it forever.
fn refuse_unseen_reads(order: &OpenOrder, sees_opens: bool) -> Result<(), Failure> {
    if !order.reads_required || sees_opens {
        return Ok(());
    }
    let attempted = format!("plan a rotation of {}", order.secret);
    Err(Failure::new(Class::Permanent, Code::NoEvidencePossible, attempted)
        .because(
            "`revoke.require` asks for `read`, which is not visible here: only root can watch which process opens a file",
        )
        .help(
            "run keyroll-host as root (`sudo = true` in keyroll.toml), or remove \"read\" from `require`; `loaded`, `checked` \
             and `exercised` prove more",
        ))
}

/// The folder to which paths refer.
fn folder(text: &str) -> Result<&Path, Failure> {
    let folder = Path::new(text);
    let climbs = folder.components().any(|part| part == Component::ParentDir);
    if !folder.is_absolute() || climbs || text.chars().any(char::is_control) {
        return Err(no_order("the folder is no absolute path"));
    }
    Ok(folder)
}

/// Refuses a folder of consumers that is not there.
fn refuse_missing_folder(folder: &Path) -> Result<(), Failure> {
    if folder.is_dir() {
        return Ok(());
    }
    let attempted = format!("use the folder {} on this host", folder.display());
    Err(Failure::new(Class::Permanent, Code::FileUnusable, attempted)
        .because("there is no such folder, or this user cannot reach it")
        .help("make the folder there, or correct the folder of this host in keyroll.toml"))
}

/// The slice of the configuration.
fn config(text: &str, folder: &Path) -> Result<Config, Failure> {
    if u64::try_from(text.len()).map_or(true, |bytes| bytes > CONFIG_BYTES_MAX) {
        return Err(no_order("the configuration is too long"));
    }
    Config::parse_in_folder(text, folder).map_err(unread)
}

fn unread(error: ConfigError) -> Failure {
    let help = error.help().map(str::to_owned);
    let attempted = "read the part of keyroll.toml that is about this host";
    let failure = Failure::new(Class::Permanent, error.code(), attempted).because(error);
    match help {
        Some(help) => failure.help(help),
        None => failure,
    }
}

fn facts(issuer: &IssuerForm) -> IssuerFacts {
    let IssuerForm { attributes, alphabet, length_max, endpoints } = issuer;
    IssuerFacts {
        attributes: *attributes,
        alphabet: alphabet.clone(),
        length_max: *length_max,
        endpoints: endpoints.clone(),
    }
}

/// The limits of the driver, with the folders of the slice.
fn search(order: &OpenOrder, config: &Config) -> Result<Search, Failure> {
    let (memory_bytes_max, time_ms_max) = (order.search.memory_bytes_max, order.search.time_ms_max);
    if time_ms_max > SEARCH_MS_MAX {
        return Err(no_order("a search may not take so long"));
    }
    let mut roots = config.search.roots.clone();
    for also in &order.folders {
        roots.push(self::folder(also)?.to_owned());
    }
    let time_max = Duration::from_millis(time_ms_max);
    Ok(Search { roots, memory_bytes_max, time_max })
}

/// Where the files led when the plan was made.
fn planned(planned: &PlannedForm) -> Option<BTreeMap<PathBuf, PathBuf>> {
    match planned {
        PlannedForm::Unknown | PlannedForm::Now => None,
        PlannedForm::Known(all) => {
            Some(all.iter().map(|(path, real)| (PathBuf::from(path), PathBuf::from(real))).collect())
        }
    }
}

/// Each file as it is now, and where it leads from now on.
fn files_now(files: &mut [FileSetup], key: &FingerprintKey) -> Result<Vec<FileNow>, Failure> {
    let mut all = Vec::new();
    for file in files {
        let resolved = resolve(&file.path)?;
        let content = read(&resolved)?;
        let digest = key.fingerprint(&content.bytes).to_string();
        all.push(FileNow { path: text_of(&file.path)?, real: text_of(&resolved.real)?, digest });
        file.planned = Some(resolved.real);
    }
    Ok(all)
}

/// A path as it is sent to the driver.
fn text_of(path: &Path) -> Result<String, Failure> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        let attempted = format!("name the file {} to keyroll", path.display());
        Failure::new(Class::Permanent, Code::FileUnusable, attempted)
            .because("its path is not UTF-8")
            .help("rename the file or the folder, and correct keyroll.toml")
    })
}

#[cfg(test)]
mod tests {
    use keyroll_link::SearchForm;

    use super::*;

    #[test]
    fn evidence_that_only_root_sees_is_refused_without_root_and_only_where_it_is_required() {
        let order = |reads_required| OpenOrder {
            installation: String::new(),
            secret: "acme".to_owned(),
            rotation: String::new(),
            epoch: 0,
            driver: "1e".repeat(16),
            before: Vec::new(),
            turn: 0,
            changes: false,
            config: String::new(),
            folder: "/srv".to_owned(),
            issuer: IssuerForm {
                attributes: false,
                alphabet: Vec::new(),
                length_max: 0,
                endpoints: Vec::new(),
            },
            search: SearchForm { memory_bytes_max: 0, time_ms_max: 0 },
            folders: Vec::new(),
            digests: String::new(),
            planned: PlannedForm::Now,
            reads_required,
        };
        let refused = refuse_unseen_reads(&order(true), false).unwrap_err();
        assert_eq!((refused.class, refused.code), (Class::Permanent, Code::NoEvidencePossible));
        assert!(refused.help.unwrap().contains("sudo = true"));
        for (required, sees) in [(true, true), (false, false), (false, true)] {
            assert!(refuse_unseen_reads(&order(required), sees).is_ok(), "{required} {sees}");
        }
    }
}
