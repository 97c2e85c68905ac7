//! Applies a split: one rotation per consumer, each followed by an edit of keyroll.toml, and at last the revocation of
//! the shared key. Progress is read from the journal; every run continues there.

use keyroll_codes::Code;
use keyroll_config::Config;
use keyroll_journal::SqliteJournal;
use keyroll_port::{Journal as _, Label, RotationId};
use keyroll_rotation::Phase;

use super::options::ApplyOptions;
use super::preconditions::{refuse_stale, several};
use super::rotate;
use super::rotate::resumed;
use crate::configured::consent;
use crate::exit::Exit;
use crate::installation::Installation;
use crate::operator::{Event, Operator};
use crate::places::Places;
use crate::plans::make::look_at;
use crate::plans::move_consumer::moved;
use crate::plans::{Subject, pending_changes, split as plans};
use crate::problem::Problem;
use crate::records::recorded::{rotations_unread, state_of};
use crate::records::saved_plan::{Family, Saved, Share};
use crate::records::versions::kept;
use crate::wiring::issuer::described;
use crate::wiring::open::{journal, runtime, store};
use crate::{config_file, interrupt};

/// The progress of one rotation of a split.
enum Progress {
    /// No rotation was opened, or the newest was rolled back.
    Fresh,
    /// It is open.
    Open(RotationId),
    /// It is done.
    Done,
}

/// Continues a split until it ends or one of its rotations fails or pauses.
pub fn carry_out(
    split: &Saved,
    asked: &ApplyOptions,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    let again = format!("keyroll apply {}", split.id);
    carried_out(split, asked, installation, operator).map_err(|problem| problem.then(&again))
}

fn carried_out(
    split: &Saved,
    asked: &ApplyOptions,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    if asked.until.is_some() || asked.emergency.is_some() {
        return Err(several(&split.secret));
    }
    operator.pause_on_stop();
    consent(asked.confirm.as_deref(), &split.secret)?;
    let places = installation.places()?;
    if !begun(split, &places)? {
        refuse_other_than_planned(split, asked, &places, operator)?;
    }
    for (at, share) in split.shares.iter().enumerate() {
        if interrupt::is_asked() {
            operator.note(stopped(split, at));
            return Ok(Exit::Interrupted);
        }
        let asked = ApplyOptions { accept: asked.accept.clone(), ..ApplyOptions::default() };
        let exit = match progress(&places, &member_of(split, share))? {
            Progress::Done => Exit::Done,
            Progress::Open(id) => rotate::resume(Some(&id.0), &asked, resumed, installation, operator)?,
            Progress::Fresh => {
                refuse_replaced(split, &places)?;
                let saved = plans::member(split, share, installation, operator)?;
                match rotate::apply(&saved, &asked, installation, operator) {
                    // Asked to stop before it began.
                    Err(problem) if problem.exit() == Exit::Interrupted => {
                        operator.note(stopped(split, at));
                        return Ok(Exit::Interrupted);
                    }
                    applied => applied?,
                }
            }
        };
        if exit != Exit::Done {
            operator.note(format!(
                "{} has no key of its own; the key of {} stays alive. To continue: keyroll apply {}",
                share.consumer, split.secret, split.id
            ));
            return Ok(exit);
        }
        write_down(split, share, operator)?;
    }
    // Members of an earlier split count too.
    let mut all = members(&split.secret, split.from_version, &places)?;
    let new = split.shares.iter().map(|share| &share.secret).filter(|name| !all.contains(*name));
    let new: Vec<String> = new.cloned().collect();
    all.extend(new);
    if interrupt::is_asked() {
        operator.note(stopped(split, split.shares.len()));
        return Ok(Exit::Interrupted);
    }
    let key =
        SharedKey { secret: &split.secret, version: split.from_version, members: &all, split: Some(split) };
    end(&key, asked, installation, operator)
}

/// What is shown for a split that was asked to stop between two rotations.
fn stopped(split: &Saved, moved: usize) -> String {
    let names =
        |shares: &[Share]| shares.iter().map(|share| share.consumer.as_str()).collect::<Vec<_>>().join(", ");
    let (own, shared) = split.shares.split_at_checked(moved).unwrap_or_default();
    let on = |names: String, what: &str| if names.is_empty() { names } else { format!("{what}: {names}; ") };
    format!(
        "stopped between two rotations: {}{}the key of {} stays alive. To continue: keyroll resume {}",
        on(names(own), "with their own keys"),
        on(names(shared), "with the shared key"),
        split.secret,
        split.id
    )
}

/// After a rotation of a split, continues the split.
pub fn go_on(
    saved: &Saved,
    exit: Exit,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    match saved.family.as_ref().and_then(Family::split) {
        Some(id) if exit == Exit::Done => {
            let split = Saved::load(&installation.places()?, id)?;
            // A consent covers this rotation only.
            carry_out(&split, &ApplyOptions::default(), installation, operator)
        }
        Some(_) | None => Ok(exit),
    }
}

/// The split that `resume` refers to: by its plan, by one of its rotations, or, if no rotation is open, the split
/// whose newest rotation is done while others are not.
pub fn meant(id: Option<&str>, installation: &Installation) -> Result<Option<Saved>, Problem> {
    let places = installation.places()?;
    if !places.journal().exists() {
        return Ok(None);
    }
    if let Some(saved) =
        id.and_then(|id| Saved::load(&places, id).ok()).filter(|saved| !saved.shares.is_empty())
    {
        return Ok(Some(saved));
    }
    let (journal, runtime) = (journal(&places)?, runtime(&places)?);
    let all = runtime.block_on(journal.list()).map_err(rotations_unread)?;
    let one = match id {
        Some(id) => all.iter().find(|one| one.id.0 == id),
        None => {
            let mut open = all.iter().filter(|one| one.open);
            match (open.next(), open.next()) {
                (Some(only), None) => Some(only),
                (None, _) => all.first(),
                (Some(_), Some(_)) => None,
            }
        }
    };
    let Some(one) = one else { return Ok(None) };
    let recorded = runtime.block_on(journal.load(&one.id)).map_err(rotations_unread)?;
    let family = Saved::of(&recorded).ok().and_then(|saved| saved.family);
    let Some(Family::Member { split, .. }) = &family else { return Ok(None) };
    // A rotation that rolls back does not continue a split.
    let back = matches!(state_of(&recorded)?.phase(), Phase::RollingBack | Phase::RolledBack);
    if back { Ok(None) } else { Saved::load(&places, split).map(Some) }
}

fn begun(split: &Saved, places: &Places) -> Result<bool, Problem> {
    for share in &split.shares {
        if !matches!(progress(places, &member_of(split, share))?, Progress::Fresh) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Refuses if the shared key was replaced since: the other consumers no longer use it.
fn refuse_replaced(split: &Saved, places: &Places) -> Result<(), Problem> {
    if current(places, &split.secret, split.from_version)? {
        return Ok(());
    }
    Err(Problem::new(Code::PlanStale, format!("continue the split of {}", split.secret))
        .because(format!("v{}, which was to be split, is no longer its current version", split.from_version))
        .help(format!("keyroll split {}", split.secret)))
}

fn current(places: &Places, secret: &str, version: u32) -> Result<bool, Problem> {
    let kept = runtime(places)?
        .block_on(async { kept(store(places)?.as_ref(), secret).await.map_err(Problem::from) })?;
    Ok(kept.iter().any(|it| it.number == version && it.label == Label::Current))
}

/// Refuses a stale plan before the first rotation of the split.
fn refuse_other_than_planned(
    split: &Saved,
    asked: &ApplyOptions,
    places: &Places,
    operator: &mut dyn Operator,
) -> Result<(), Problem> {
    let text = config_file::read(&split.config_file)?;
    if text != split.config_text {
        return Err(Problem::new(Code::PlanStale, format!("split {}", split.secret))
            .because(format!("{} has changed since the plan", split.config_file.display()))
            .help(format!("keyroll split {}", split.secret)));
    }
    let config = Config::parse(&text, &split.config_file.display().to_string())?;
    let secret = crate::configured::secret(&config, &split.secret)?;
    let described = described(secret)?;
    let found = look_at(&Subject::again(split, &config, secret, places, &described), operator)?;
    refuse_stale(split, &found)?;
    pending_changes::accepted(split, &found.live, &asked.accept, false).map(drop)
}

/// A test for the rotation of this share.
fn member_of(split: &Saved, share: &Share) -> impl Fn(&Saved) -> bool {
    let (split, secret) = (split.id.clone(), share.secret.clone());
    move |saved| {
        let of = matches!(&saved.family, Some(Family::Member { split: id, .. }) if *id == split);
        of && saved.secret == secret
    }
}

/// The progress of the newest matching rotation.
fn progress(places: &Places, is_it: &dyn Fn(&Saved) -> bool) -> Result<Progress, Problem> {
    if !places.journal().exists() {
        return Ok(Progress::Fresh);
    }
    let journal = journal(places)?;
    runtime(places)?.block_on(newest(&journal, is_it))
}

async fn newest(journal: &SqliteJournal, is_it: &dyn Fn(&Saved) -> bool) -> Result<Progress, Problem> {
    for one in journal.list().await.map_err(rotations_unread)? {
        let recorded = journal.load(&one.id).await.map_err(rotations_unread)?;
        if !Saved::of(&recorded).is_ok_and(|saved| is_it(&saved)) {
            continue;
        }
        let state = state_of(&recorded)?;
        return Ok(match (state.ended(), state.phase(), state.debt()) {
            (true, Phase::Done, None) => Progress::Done,
            (true, Phase::Done, Some(_)) | (false, _, _) => Progress::Open(one.id),
            (true, _, _) => Progress::Fresh,
        });
    }
    Ok(Progress::Fresh)
}

/// Writes the new secret into the configuration, unless an interrupted run has already written it.
fn write_down(split: &Saved, share: &Share, operator: &mut dyn Operator) -> Result<(), Problem> {
    let file = &split.config_file;
    let text = config_file::read(file)?;
    if Config::parse(&text, &file.display().to_string())?.secret(&share.secret).is_ok() {
        return Ok(());
    }
    config_file::replace(file, &text, &moved(&text, file, &split.secret, share)?)?;
    operator.event(Event::Undo {
        what: format!("moved {} into [secrets.{}] in {}", share.consumer, share.secret, file.display()),
        with: format!("it has its own key now; to rotate that: keyroll plan {}", share.secret),
    });
    Ok(())
}

/// A shared key whose consumers have keys of their own.
#[derive(Clone, Copy)]
pub struct SharedKey<'a> {
    /// The secret.
    pub secret: &'a str,
    /// The version to revoke.
    pub version: u32,
    /// The secrets that replace it.
    pub members: &'a [String],
    /// The plan of the split; none if the key is revoked by itself.
    pub split: Option<&'a Saved>,
}

/// Revokes a shared key whose consumers have keys of their own.
pub fn end(
    key: &SharedKey<'_>,
    asked: &ApplyOptions,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    let SharedKey { secret, version, members, split } = *key;
    let places = installation.places()?;
    let is_it = |saved: &Saved| {
        matches!(saved.family, Some(Family::End { .. }))
            && saved.secret == secret
            && saved.from_version == version
    };
    match progress(&places, &is_it)? {
        Progress::Open(id) => return rotate::resume(Some(&id.0), asked, resumed, installation, operator),
        Progress::Done => {
            operator.note(format!("the key of {secret} was revoked and seen dead"));
            return Ok(Exit::Done);
        }
        Progress::Fresh => {}
    }
    if !current(&places, secret, version)? {
        return Err(Problem::new(Code::NothingToRevoke, format!("revoke the key of {secret}"))
            .because(format!("v{version} is no longer its current version"))
            .help(format!("keyroll status; keyroll secret show {secret}")));
    }
    let file = match split {
        Some(split) => split.config_file.clone(),
        None => crate::config_file::absolute(&installation.config_path())?,
    };
    let saved =
        plans::end(secret, (members, split.map(|split| split.id.as_str())), &file, installation, operator)?;
    rotate::apply(&saved, asked, installation, operator)
}

/// The secrets whose first key replaced this version of a shared secret, by the journal.
pub fn members(secret: &str, version: u32, places: &Places) -> Result<Vec<String>, Problem> {
    let mut members = Vec::new();
    if !places.journal().exists() {
        return Ok(members);
    }
    let (journal, runtime) = (journal(places)?, runtime(places)?);
    for one in runtime.block_on(journal.list()).map_err(rotations_unread)? {
        let recorded = runtime.block_on(journal.load(&one.id)).map_err(rotations_unread)?;
        let Ok(saved) = Saved::of(&recorded) else { continue };
        let of = matches!(&saved.family, Some(Family::Member { from, version: its, .. })
            if from == secret && *its == version);
        if of && state_of(&recorded)?.phase() == Phase::Done && !members.contains(&saved.secret) {
            members.push(saved.secret);
        }
    }
    Ok(members)
}
