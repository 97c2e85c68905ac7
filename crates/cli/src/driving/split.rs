//! A split, carried out: each consumer's rotation, keyroll.toml after it, and the end of the shared key as the last.
//! What was done is read from the journal; every run goes on where that ends.

use keyroll_config::Config;
use keyroll_journal::SqliteJournal;
use keyroll_port::{Journal as _, JournalError, Label, RotationId};
use keyroll_rotation::Phase;

use super::allowed::refuse_stale;
use super::rotate::{self, Asked, resumed};
use crate::config_file;
use crate::context::{Context, consent};
use crate::exit::Exit;
use crate::interrupt;
use crate::places::Places;
use crate::plans::make::look_at;
use crate::plans::{Subject, live, split as plans};
use crate::problem::Problem;
use crate::records::recorded::state_of;
use crate::records::saved::{Family, Saved, Share};
use crate::records::versions::kept;
use crate::ui::Event;
use crate::wiring::issuer::described;
use crate::wiring::open::{journal, runtime, store};

/// What became of one rotation of a split.
enum Progress {
    /// None was opened, or the newest was rolled back.
    Fresh,
    /// It is open.
    Open(RotationId),
    /// It is done.
    Done,
}

/// Carries a split out from where it stands, until it ends or a rotation of it does not end well.
pub(crate) fn carry_out(split: &Saved, asked: &Asked, context: &mut Context) -> Result<Exit, Problem> {
    if asked.until.is_some() || asked.emergency.is_some() {
        return Err(several(&split.secret));
    }
    interrupt::pause_from_now_on(context.ui.look);
    consent(asked.confirm.as_deref(), &split.secret)?;
    let places = context.places()?;
    if !begun(split, &places)? {
        refuse_other_than_planned(split, asked, &places)?;
    }
    for (at, share) in split.shares.iter().enumerate() {
        if interrupt::is_asked() {
            context.ui.note(stopped(split, at));
            return Ok(Exit::Interrupted);
        }
        let asked = Asked { accept: asked.accept.clone(), ..Asked::default() };
        let exit = match progress(&places, &member_of(split, share))? {
            Progress::Done => Exit::Done,
            Progress::Open(id) => rotate::resume(Some(&id.0), &asked, resumed, context)?,
            Progress::Fresh => {
                refuse_replaced(split, &places)?;
                let saved = plans::member(split, share, context)?;
                match rotate::apply(&saved, &asked, context) {
                    // Asked to stop before it was begun.
                    Err(problem) if problem.exit() == Exit::Interrupted => {
                        context.ui.note(stopped(split, at));
                        return Ok(Exit::Interrupted);
                    }
                    applied => applied?,
                }
            }
        };
        if exit != Exit::Done {
            context.ui.note(format!(
                "{} is not on a key of its own; the key of {} stays alive. To go on: keyroll apply {}",
                share.consumer, split.secret, split.id
            ));
            return Ok(exit);
        }
        write_down(split, share, context)?;
    }
    // Those of a split of before are its members too.
    let mut all = members(&split.secret, split.from_version, &places)?;
    let new = split.shares.iter().map(|share| &share.secret).filter(|name| !all.contains(*name));
    let new: Vec<String> = new.cloned().collect();
    all.extend(new);
    if interrupt::is_asked() {
        context.ui.note(stopped(split, split.shares.len()));
        return Ok(Exit::Interrupted);
    }
    end((&split.secret, split.from_version), (&all, Some(split)), asked, context)
}

/// What stands where a split was asked to stop between two of its rotations.
fn stopped(split: &Saved, moved: usize) -> String {
    let names =
        |shares: &[Share]| shares.iter().map(|share| share.consumer.as_str()).collect::<Vec<_>>().join(", ");
    let (own, shared) = split.shares.split_at_checked(moved).unwrap_or_default();
    let on = |names: String, what: &str| if names.is_empty() { names } else { format!("{names} {what}; ") };
    format!(
        "stopped between two rotations: {}{}the key of {} stays alive. To go on: keyroll resume {}",
        on(names(own), "on keys of their own"),
        on(names(shared), "on the shared one"),
        split.secret,
        split.id
    )
}

fn several(secret: &str) -> Problem {
    Problem::new("K0878", format!("split {secret}"))
        .because("--until and --emergency are about one rotation, and a split is several")
        .help(format!(
            "keyroll plan {secret}, then keyroll apply PLAN_ID --emergency roll-first: it replaces the shared key, and waits for nothing that is open"
        ))
        .exits(Exit::Usage)
}

/// An emergency of a shared key is a rotation of that.
pub(super) fn refuse_emergency(asked: &Asked, saved: &Saved) -> Result<(), Problem> {
    match (&saved.family, asked.emergency) {
        (Some(Family::Member { from, .. }), Some(_)) => Err(several(from)),
        (Some(Family::End { .. }), Some(_)) => {
            let (id, secret) = (&saved.id, &saved.secret);
            Err(Problem::new("K0878", format!("end the key of {secret} in an emergency"))
                .because("this ends it already, as soon as nobody holds it any more")
                .help(format!(
                    "keyroll status {id} names who does: move them, or let them break with keyroll consumer waive, then keyroll resume {id} --confirm={secret}"
                ))
                .exits(Exit::Usage))
        }
        (Some(Family::Leaked { .. }) | None, _) | (Some(_), None) => Ok(()),
    }
}

/// After a rotation that belongs to a split, the rest of it.
pub(crate) fn go_on(saved: &Saved, exit: Exit, context: &mut Context) -> Result<Exit, Problem> {
    match saved.family.as_ref().and_then(Family::split) {
        Some(id) if exit == Exit::Done => {
            let split = Saved::load(&context.places()?, id)?;
            // A consent is to this rotation alone.
            carry_out(&split, &Asked::default(), context)
        }
        Some(_) | None => Ok(exit),
    }
}

/// The split that a word to `resume` is about: its own plan, a rotation of it, or, where no rotation is open, the one
/// whose newest rotation is done while others are not.
pub(crate) fn meant(id: Option<&str>, context: &Context) -> Result<Option<Saved>, Problem> {
    let places = context.places()?;
    if !places.journal().exists() {
        return Ok(None);
    }
    if let Some(saved) =
        id.and_then(|id| Saved::load(&places, id).ok()).filter(|saved| !saved.shares.is_empty())
    {
        return Ok(Some(saved));
    }
    let (journal, runtime) = (journal(&places)?, runtime()?);
    let all = runtime.block_on(journal.list()).map_err(reading)?;
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
    let recorded = runtime.block_on(journal.load(&one.id)).map_err(reading)?;
    let family = Saved::of(&recorded).ok().and_then(|saved| saved.family);
    let Some(Family::Member { split, .. }) = &family else { return Ok(None) };
    // What is on its way back is no split that goes on.
    let back = matches!(state_of(&recorded)?.phase(), Phase::RollingBack | Phase::RolledBack);
    if back { Ok(None) } else { Saved::load(&places, split).map(Some) }
}

fn reading(error: JournalError) -> Problem {
    Problem::new("K0835", "read the rotations").because_of(&error)
}

fn begun(split: &Saved, places: &Places) -> Result<bool, Problem> {
    for share in &split.shares {
        if !matches!(progress(places, &member_of(split, share))?, Progress::Fresh) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A key that was replaced since is not what the rest of the consumers use.
fn refuse_replaced(split: &Saved, places: &Places) -> Result<(), Problem> {
    if current(places, &split.secret, split.from_version)? {
        return Ok(());
    }
    Err(Problem::new("K0876", format!("go on with the split of {}", split.secret))
        .because(format!(
            "v{}, which was to be split, is not its current version any more",
            split.from_version
        ))
        .help(format!("keyroll split {}", split.secret)))
}

fn current(places: &Places, secret: &str, version: u32) -> Result<bool, Problem> {
    let kept =
        runtime()?.block_on(async { kept(store(places)?.as_ref(), secret).await.map_err(Problem::from) })?;
    Ok(kept.iter().any(|it| it.number == version && it.label == Label::Current))
}

/// Before the first rotation of it: what the plan saw must still be true.
fn refuse_other_than_planned(split: &Saved, asked: &Asked, places: &Places) -> Result<(), Problem> {
    let text = config_file::read(&split.config_file)?;
    if text != split.config_text {
        return Err(Problem::new("K0876", format!("split {}", split.secret))
            .because(format!("{} is not what it was when that was planned", split.config_file.display()))
            .help(format!("keyroll split {}", split.secret)));
    }
    let config = Config::parse(&text, &split.config_file.display().to_string())?;
    let secret = crate::context::secret(&config, &split.secret)?;
    let described = described(secret)?;
    let found = look_at(&Subject::again(split, (&config, secret), places, &described))?;
    refuse_stale(split, &found)?;
    live::accepted(split, &found.live, &asked.accept, false).map(drop)
}

/// Whether a rotation is the one of this share.
fn member_of(split: &Saved, share: &Share) -> impl Fn(&Saved) -> bool {
    let (split, secret) = (split.id.clone(), share.secret.clone());
    move |saved| {
        let of = matches!(&saved.family, Some(Family::Member { split: id, .. }) if *id == split);
        of && saved.secret == secret
    }
}

/// How far the newest rotation of a kind is.
fn progress(places: &Places, is_it: &dyn Fn(&Saved) -> bool) -> Result<Progress, Problem> {
    if !places.journal().exists() {
        return Ok(Progress::Fresh);
    }
    let journal = journal(places)?;
    runtime()?.block_on(newest(&journal, is_it))
}

async fn newest(journal: &SqliteJournal, is_it: &dyn Fn(&Saved) -> bool) -> Result<Progress, Problem> {
    for one in journal.list().await.map_err(reading)? {
        let recorded = journal.load(&one.id).await.map_err(reading)?;
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

/// The configuration says what is so. It may have been written by a run that ended before it could go on.
fn write_down(split: &Saved, share: &Share, context: &mut Context) -> Result<(), Problem> {
    let file = &split.config_file;
    let text = config_file::read(file)?;
    if Config::parse(&text, &file.display().to_string())?.secret(&share.secret).is_ok() {
        return Ok(());
    }
    config_file::replace(file, &text, &plans::moved(&text, file, &split.secret, share)?)?;
    context.ui.event(Event::Undo {
        what: format!("moved {} into [secrets.{}] in {}", share.consumer, share.secret, file.display()),
        with: format!("it has a key of its own now, and goes on with that: keyroll plan {}", share.secret),
    });
    Ok(())
}

/// Ends a key that was shared, once each of its consumers has one of its own.
pub(crate) fn end(
    (secret, version): (&str, u32),
    (members, split): (&[String], Option<&Saved>),
    asked: &Asked,
    context: &mut Context,
) -> Result<Exit, Problem> {
    let places = context.places()?;
    let is_it = |saved: &Saved| {
        matches!(saved.family, Some(Family::End { .. }))
            && saved.secret == secret
            && saved.from_version == version
    };
    match progress(&places, &is_it)? {
        Progress::Open(id) => return rotate::resume(Some(&id.0), asked, resumed, context),
        Progress::Done => {
            context.ui.note(format!("the key of {secret} was ended and seen dead"));
            return Ok(Exit::Done);
        }
        Progress::Fresh => {}
    }
    if !current(&places, secret, version)? {
        return Err(Problem::new("K0877", format!("end the key of {secret}"))
            .because(format!("v{version} is not its current version any more"))
            .help(format!("keyroll status; keyroll secret show {secret}")));
    }
    let file = match split {
        Some(split) => split.config_file.clone(),
        None => crate::plans::make::absolute(&context.config_path())?,
    };
    let saved = plans::end(secret, (members, split.map(|split| split.id.as_str())), &file, context)?;
    rotate::apply(&saved, asked, context)
}

/// The secrets whose first key was made in place of this version of a shared one, by the journal.
pub(crate) fn members(secret: &str, version: u32, places: &Places) -> Result<Vec<String>, Problem> {
    let mut members = Vec::new();
    if !places.journal().exists() {
        return Ok(members);
    }
    let (journal, runtime) = (journal(places)?, runtime()?);
    for one in runtime.block_on(journal.list()).map_err(reading)? {
        let recorded = runtime.block_on(journal.load(&one.id)).map_err(reading)?;
        let Ok(saved) = Saved::of(&recorded) else { continue };
        let of = matches!(&saved.family, Some(Family::Member { from, version: its, .. })
            if from == secret && *its == version);
        if of && state_of(&recorded)?.phase() == Phase::Done && !members.contains(&saved.secret) {
            members.push(saved.secret);
        }
    }
    Ok(members)
}
