use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use keyroll_app::exit::Exit;
use keyroll_app::hosts::{HostChecked, Imported, accept, check, import, list, save};
use keyroll_app::operator::{CheckShown, Event, Finding};
use keyroll_app::problem::Problem;
use keyroll_app::session::waive_host::{HostWaiveRequest, waive_host};
use keyroll_codes::Code;
use keyroll_secret::SecretBytes;

use crate::args::{HostsAcceptArgs, HostsCheckArgs, HostsCommand, HostsImportArgs, HostsWaiveArgs};
use crate::context::Context;
use crate::ui::Table;

/// The longest inventory that is read, bytes.
const INVENTORY_BYTES_MAX: u64 = 64 << 20;

/// Lists, checks and accepts the hosts that keyroll inspects over ssh, and adds them from an inventory.
pub(super) fn run(command: &HostsCommand, context: &mut Context) -> Result<Exit, Problem> {
    match command {
        HostsCommand::List => listed(context),
        HostsCommand::Check(args) => checked(args, context),
        HostsCommand::Accept(args) => accepted(args, context),
        HostsCommand::Waive(args) => waived(args, context),
        HostsCommand::Import(args) => imported(args, context),
    }
}

fn listed(context: &mut Context) -> Result<Exit, Problem> {
    let all = list(&context.installation)?;
    if context.ui.look.json {
        all.into_iter().for_each(|host| context.ui.event(Event::Host(host)));
        return Ok(Exit::Done);
    }
    if all.is_empty() {
        context.ui.note("keyroll.toml names no host: keyroll hosts import FILE adds them from an ssh_config");
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["HOST", "GROUP", "CONNECT", "SUDO", "FOLDER", "ACCEPTED"]);
    for host in all {
        let word = |is: bool| if is { "yes" } else { "no" };
        // A cluster has neither.
        let accepted = host.sudo.map_or("-", |_| "no");
        table.row([
            host.name,
            host.group.unwrap_or_else(|| "-".to_owned()),
            host.connect,
            host.sudo.map_or("-", word).to_owned(),
            host.folder.unwrap_or_else(|| "-".to_owned()),
            host.accepted.unwrap_or_else(|| accepted.to_owned()),
        ]);
    }
    context.ui.table(&table);
    Ok(Exit::Done)
}

/// Exits with 3 if a host cannot be inspected, or a finding is bad.
fn checked(args: &HostsCheckArgs, context: &mut Context) -> Result<Exit, Problem> {
    let Context { installation, ui, .. } = &mut *context;
    let all = check(&args.names, installation, ui)?;
    if all.is_empty() {
        context.ui.note("keyroll.toml names no host with ssh://: keyroll hosts import FILE adds them");
    }
    let mut bad = false;
    for (at, HostChecked { host, mut checks, problem }) in all.into_iter().enumerate() {
        checks.extend(problem.map(unusable));
        bad |= checks.iter().any(|check| check.finding == Finding::Bad);
        if !context.ui.look.json {
            let before = if at == 0 { "" } else { "\n" };
            context.ui.data(&format!("{before}{host}:"));
        }
        context.ui.of_host(Some(host));
        checks.into_iter().for_each(|check| context.ui.event(Event::Check(check)));
        context.ui.of_host(None);
    }
    Ok(if bad { Exit::Findings } else { Exit::Done })
}

/// Why a host cannot be inspected, as a finding.
fn unusable(problem: Problem) -> CheckShown {
    let detail = problem.sentence();
    CheckShown { name: problem.code.as_str().to_owned(), finding: Finding::Bad, detail, help: problem.help }
}

fn accepted(args: &HostsAcceptArgs, context: &mut Context) -> Result<Exit, Problem> {
    let Context { installation, ui, .. } = &mut *context;
    let said = accept(&args.names, args.again, installation, ui)?;
    said.into_iter().for_each(|sentence| context.ui.note(sentence));
    Ok(Exit::Done)
}

/// Says for each rotation what it goes on without, and what that means.
fn waived(args: &HostsWaiveArgs, context: &mut Context) -> Result<Exit, Problem> {
    let HostsWaiveArgs { name, reason, secret } = args;
    let request = HostWaiveRequest { host: name, secret: secret.as_deref(), reason };
    let done = waive_host(&request, &context.installation, &mut context.ui)?;
    done.left.into_iter().for_each(|host| context.ui.event(Event::HostLeft(host)));
    done.driver.into_iter().for_each(|ended| context.ui.note(ended));
    Ok(Exit::Done)
}

fn imported(args: &HostsImportArgs, context: &mut Context) -> Result<Exit, Problem> {
    let found = import(&inventory(&args.file)?, &context.installation)?;
    let path = found.path.display().to_string();
    if !found.known.is_empty() {
        context.ui.note(format!("{path} already has: {}", found.known.join(", ")));
    }
    for (host, why) in &found.left_out {
        context.ui.note(format!("left out {host}: {why}"));
    }
    if found.hosts.is_empty() {
        context.ui.note("no other host was found: nothing was changed");
        return Ok(Exit::Done);
    }
    if args.dry_run {
        would_add(found, context);
        context.ui.note("nothing was written");
        return Ok(Exit::Done);
    }
    save(&found, &context.installation)?;
    let names: Vec<&str> = found.hosts.iter().map(|host| host.name.as_str()).collect();
    context.ui.event(Event::Undo {
        what: format!("added to {path}: {}", names.join(", ")),
        with: "remove those tables".to_owned(),
    });
    context.ui.note("next: keyroll hosts check");
    Ok(Exit::Done)
}

/// Shows what would be added; with `--json` the whole file as one event.
fn would_add(found: Imported, context: &mut Context) {
    let path = found.path.display().to_string();
    match context.ui.look.json {
        true => context.ui.event(Event::Draft { path, text: found.text }),
        false => context.ui.data(found.added.trim_matches('\n')),
    }
}

/// The text of an inventory. It may hold passwords.
fn inventory(file: &Path) -> Result<SecretBytes, Problem> {
    let unread = || {
        Problem::new(Code::SearchPathUnreadable, format!("read {}", keyroll_observe::shown(file)))
            .help("name an ssh_config or the output of ansible-inventory --list, or - for stdin")
    };
    let failed = |error: io::Error| unread().because_of(&error);
    let mut from: Box<dyn Read> = match file.as_os_str() == "-" {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(file).map_err(failed)?),
    };
    let mut bytes = Vec::new();
    let read = from.by_ref().take(INVENTORY_BYTES_MAX + 1).read_to_end(&mut bytes);
    // From here on the bytes are wiped, also if not all of them could be read.
    let bytes = SecretBytes::new(bytes);
    read.map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > INVENTORY_BYTES_MAX) {
        return Err(unread().because(format!("it has more than {} MiB", INVENTORY_BYTES_MAX >> 20)));
    }
    Ok(bytes)
}
