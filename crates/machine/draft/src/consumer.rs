use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use keyroll_config::{FILL_IN, FoundConsumer, Name, Said};
use keyroll_manager::{AgentService, AgentSource, CHECK_COMMAND, Declared, DraftValue, KeyForm};
use keyroll_observe::shown;
use keyroll_trace::{Link, LinkRole, ManagedBy, Place, Service, Survey, SurveyedSecret, User, chains_of};

use crate::consumer_draft::{ConsumerDraft, Context, LISTENS, NotDrafted, RunDraft};
use crate::copies::{Copies, value_at};
use crate::copy::{copy, written};
use crate::process;

/// Drafts a user of a secret as a consumer, under a free name.
pub(crate) fn drafted(
    around: &Context<'_>,
    found: &SurveyedSecret,
    user: &User,
    free: &mut dyn FnMut(&str) -> Option<Name>,
) -> Result<ConsumerDraft, NotDrafted> {
    let service = user.service.and_then(|at| around.survey.services.get(at));
    if user.managed_by == ManagedBy::Session && is_shell(around.survey, user) {
        return Err(format!("{}: a shell that passes it on to its children", user.name));
    }
    let Copies { all: copies, places, mut notes, .. } = Copies::of(around, found, user, service);
    if copies.is_empty() {
        let why = notes.first().cloned().unwrap_or_else(|| "no copy that it reads is visible".to_owned());
        return Err(format!("{} ({}): {why}", user.name, user.managed_by.name()));
    }
    let name = free(&short(user, service)).ok_or_else(|| format!("{}: no valid name for it", user.name))?;
    let RunDraft { runs, notes: more, open, at_rest, check } =
        run_draft(around, (found, user), service, &name, &places)?;
    notes.extend(more);
    let mut within = Vec::new();
    let listens = process::listening(around.sockets, user);
    if let Some(hint) = ready(&listens).filter(|_| !at_rest && check.is_empty()) {
        within.push(hint);
    }
    within.extend(if check.is_empty() { vec![by_command()] } else { check });
    let managed = if user.managed_by == ManagedBy::Unmanaged { "" } else { "managed by " };
    let processes = match user.processes.len() {
        0 => "; not running now".to_owned(),
        1 => String::new(),
        several => format!("; {several} processes hold it"),
    };
    let head = format!("{}, {managed}{}{processes}", user.name, user.managed_by.name());
    notes.insert(0, head);
    let consumer =
        FoundConsumer { name, hosts: Vec::new(), notes, runs, reads: copies, within, synced: false };
    let agent = service.and_then(|service| service.agent.clone());
    let (processes, of_login) = (user.processes.clone(), None);
    Ok(ConsumerDraft { consumer, of_login, open, reads: places, processes, listens, agent })
}

fn by_command() -> String {
    format!("check = {{ {CHECK_COMMAND} }}   a command that succeeds only with a working key in that copy")
}

fn is_shell(survey: &Survey, user: &User) -> bool {
    let main = process::main_of(survey, user);
    main.and_then(|main| survey.instances.get(&main)).is_some_and(|one| one.shell)
        || matches!(user.name.split(' ').next(), Some("sh" | "bash" | "zsh" | "dash" | "fish" | "ksh"))
}

/// A note about readiness. Only the listening port is visible, not what the service answers there.
fn ready(listens: &[SocketAddr]) -> Option<String> {
    let first = listens.first()?;
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, first.port()));
    let at = if first.ip().is_unspecified() { &local } else { first };
    Some(format!(
        "{LISTENS} {at}; not visible whether it has an address that reports readiness. if it does, add to \
         runs: ready = \"http://{at}/…\""
    ))
}

/// The name of a consumer: that of its service, without the additions of the manager.
fn short(user: &User, service: Option<&Service>) -> String {
    if let Some(declaration) = service.and_then(|service| service.declaration.as_ref()) {
        return declaration.consumer.clone();
    }
    // `worker.py 4711`
    let word = user.name.split(' ').next().unwrap_or_default();
    word.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or(word).to_owned()
}

impl RunDraft {
    pub(crate) fn by(runs: Vec<(&'static str, Said)>) -> Self {
        Self { runs, notes: Vec::new(), open: Vec::new(), at_rest: false, check: Vec::new() }
    }
}

/// By the keys of an agent, if it can be declared by them; otherwise by those of its manager.
fn run_draft(
    around: &Context<'_>,
    (found, user): (&SurveyedSecret, &User),
    service: Option<&Service>,
    name: &Name,
    places: &BTreeSet<Place>,
) -> Result<RunDraft, NotDrafted> {
    let Some(service) = service else { return Ok(process::run_draft(around, user, name)) };
    let wins = |link: &&Link| link.role == LinkRole::Wins;
    let taken = |link: &Link| link.place.as_ref().is_some_and(|place| places.contains(place));
    let from_file = service.chains.iter().flat_map(|chain| &chain.links).filter(wins).any(taken);
    let seen = around.survey.listing.seen.iter();
    let sources = chains_of(around.survey, found, user).into_iter().map(|chain| AgentSource {
        name: &chain.name,
        applied_by: chain.winner().and_then(|link| link.applies.as_deref()),
        known: chain.next().is_some(),
    });
    let of_agent = AgentService {
        declaration: service.declaration.as_ref(),
        sources: sources.collect(),
        processes: seen.filter(|one| service.processes.contains(&one.id)).collect(),
        sockets: around.sockets,
        written: &|path| written(path, around.folder),
    };
    if let Some(own) = service.agent.as_deref().and_then(|agent| agent.draft(&of_agent)) {
        let may_be_secret = |value: &DraftValue| matches!(value, DraftValue::Known(Declared::Text(text)) if around.names.shown(text) != *text);
        if let Some((key, _)) = own.runs.iter().find(|(_, value)| may_be_secret(value)) {
            return Err(format!("{}: its `{key}` may contain a secret", user.name));
        }
        let draft = written_runs(around, user, name, (&own.runs, &own.notes), from_file)?;
        return Ok(RunDraft { check: own.check, ..draft });
    }
    let draft = match &service.declaration {
        Some(of) => {
            let draft = written_runs(around, user, name, (&of.runs, &of.notes), from_file)?;
            RunDraft { at_rest: of.is_job, ..draft }
        }
        None => process::run_draft(around, user, name),
    };
    let check = service.agent.as_deref().map(|agent| agent.check(&of_agent));
    Ok(RunDraft { check: check.unwrap_or_default(), ..draft })
}

/// The table `runs` as it is written to the file, with a note on each key that the operator has to fill in.
fn written_runs(
    around: &Context<'_>,
    user: &User,
    name: &Name,
    (runs, notes): (&[(&'static str, DraftValue)], &[&str]),
    from_file: bool,
) -> Result<RunDraft, NotDrafted> {
    let mut draft = RunDraft::by(Vec::new());
    for (key, value) in runs {
        match value {
            DraftValue::Known(value) => draft.runs.push((key, said(around, user, key, value)?)),
            DraftValue::FillIn { unless_from_file: true, .. } if from_file => {}
            DraftValue::FillIn { file, what, .. } => {
                let file = format!("./{FILL_IN}-{}", file.replace("{name}", name.as_str()));
                let is_command = has_form(key, &[KeyForm::Command]);
                draft.runs.push((key, if is_command { Said::Words(vec![file]) } else { Said::Text(file) }));
                draft.notes.push(format!("fill in `{key}`, {}", what));
                draft.open.push(format!("{name}: `{key}`, {}", what));
            }
        }
    }
    draft.notes.extend(notes.iter().map(|note| (*note).to_owned()));
    Ok(draft)
}

/// The value of a key of `runs` as it is written to the file.
fn said(around: &Context<'_>, user: &User, key: &str, value: &Declared) -> Result<Said, NotDrafted> {
    let text = match value {
        Declared::Text(text) => text.clone(),
        Declared::Path(file) => written(file, around.folder).ok_or_else(|| {
            format!("{}: the path {} cannot be written in keyroll.toml", user.name, shown(file))
        })?,
        Declared::Command(line) => {
            return Ok(Said::Words(line.words()));
        }
        Declared::Flag => return Ok(Said::Yes),
    };
    let has_placeholders = has_form(key, &[KeyForm::Template, KeyForm::TemplatePath]);
    Ok(Said::Text(if has_placeholders { keyroll_template::escape(&text) } else { text }))
}

fn has_form(key: &str, forms: &[KeyForm]) -> bool {
    keyroll_manager::keys().any(|one| one.name == key && forms.contains(&one.form))
}

/// Drafts a consumer without processes for a copy that no known service reads.
pub(crate) fn at_rest(
    around: &Context<'_>,
    found: &SurveyedSecret,
    place: &Place,
    free: &mut dyn FnMut(&str) -> Option<Name>,
) -> Result<ConsumerDraft, NotDrafted> {
    let (Place::File { path, line }, Some(value)) = (place, value_at(found, place)) else {
        return Err(format!("{place}: not a file that keyroll can write"));
    };
    let own = found.sightings.iter().find(|one| one.place == *place).and_then(|one| one.name.as_deref());
    let copy = copy(around.survey, (path, *line), own.unwrap_or_default(), value, around.folder)
        .map_err(|why| format!("{place} cannot be written: {why}"))?;
    let stem = path.file_name().unwrap_or_default().to_string_lossy().trim_start_matches('.').to_owned();
    let name = free(&stem).ok_or_else(|| format!("{place}: no valid name for it"))?;
    let notes = vec![format!(
        "{place}: no known service reads it. if one does, say in `runs` how it is restarted or reloaded"
    )];
    let within = vec![by_command()];
    let runs = vec![("at_rest", Said::Yes)];
    let consumer =
        FoundConsumer { name, hosts: Vec::new(), notes, runs, reads: vec![copy], within, synced: false };
    let reads = BTreeSet::from([place.clone()]);
    let (open, processes, listens) = Default::default();
    Ok(ConsumerDraft { consumer, of_login: None, open, reads, processes, listens, agent: None })
}
