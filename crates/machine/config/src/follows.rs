//! `reads = "store"`: a consumer whose program reads the secret's store itself, and that has no copy.

use std::ops::Range;

use crate::at::At;
use crate::mistake::Mistake;
use crate::reads_shape::ReadsShape;
use crate::shape::{ConsumerShape, RevokeShape};
use crate::{Kind, Name, Runs, StoreRef};

/// The only word of `reads`.
const STORE: &str = "store";

/// Refuses a word that `reads` does not know, and keys that need a copy.
pub(crate) fn refuse_unfit(
    word: &str,
    at: &Range<usize>,
    fetch: Option<&Range<usize>>,
) -> Result<(), Mistake> {
    if word != STORE {
        let why = "`reads` must be a table, an array of tables, or `\"store\"`";
        return Err(Mistake::new(Kind::WrongForm, why).at(at).help(
            "write `reads = \"store\"` if the program reads the secret's store itself; otherwise name its copy: \
             `reads = { file = \"./PATH\" }`",
        ));
    }
    let Some(fetch) = fetch else { return Ok(()) };
    let why =
        "`fetch` does not go with `reads = \"store\"`: the program has no copy that a command could write";
    Err(Mistake::new(Kind::BadCombination, why)
        .at(fetch)
        .help("leave out `fetch`; or name the copies that it writes: `reads = { file = \"./PATH\" }`"))
}

/// Refuses a manager that finds the key in a copy, and one that makes the same process take a value: its memory keeps the
/// former one, so a rollback could not be told from it. An adapter says how it takes a value only when it is asked, which a
/// plan does.
pub(crate) fn refuse_manager(runs: &Runs, at: &Range<usize>) -> Result<(), Mistake> {
    let workload = runs.workload();
    let refuse = |why: &str, help: &str| Err(Mistake::new(Kind::BadCombination, why).at(at).help(help));
    if workload.agent_state().is_some() {
        return refuse(
            "`runs.openclaw` does not go with `reads = \"store\"`: keyroll finds the gateway's key by its copy",
            "name the copy that the gateway reads: `reads = { file = \"./PATH\" }`",
        );
    }
    if workload.proxy_address().is_some() {
        return refuse(
            "`runs.litellm` does not go with `reads = \"store\"`: keyroll finds the proxy's models by its copy",
            "name the copy that the proxy reads, `reads = { file = \"./PATH\" }`; or restart the whole proxy: \
             `runs = { unit = \"litellm.service\" }`",
        );
    }
    if workload.is_job() || !workload.needs_reload() {
        return Ok(());
    }
    let is_adapter = workload.declared_command().is_some() && workload.restart_command().is_none();
    if is_adapter || workload.starts_new_process() {
        return Ok(());
    }
    refuse(
        "`signal` does not go with `reads = \"store\"`: the same process goes on, and its memory keeps the former value",
        "restart it (`restart`, `unit`, `compose` and so on); or, if it reads the store again by itself, write \
         `rereads = true`",
    )
}

/// Where the first consumer says that it reads the store.
pub(crate) fn first_follower(shapes: &[At<ConsumerShape>]) -> Option<Range<usize>> {
    let word = |shape: &At<ConsumerShape>| {
        let reads = shape.value.reads.as_ref()?;
        match reads.value {
            ReadsShape::Word(_) => Some(reads.span.clone()),
            ReadsShape::Copies(_) => None,
        }
    };
    shapes.iter().find_map(word)
}

/// Refuses a consumer that reads a store which no program can read, and required evidence that no file of it could show.
pub(crate) fn refuse_unfollowed(
    (follower, at): (&Name, &Range<usize>),
    store: &StoreRef,
    revoke: &RevokeShape,
) -> Result<(), Mistake> {
    if *store == StoreRef::Keyroll {
        let why = "`reads = \"store\"`: the secret's store is keyroll's own, which programs cannot read";
        return Err(Mistake::new(Kind::BadCombination, why).at(at).help(
            "name the store that the program reads: `store = \"vault:MOUNT/PATH#KEY\"`, `aws-sm:NAME#KEY`, \
             `k8s:NAMESPACE/NAME#KEY`, `file:./PATH` or `exec:./PROGRAM#ITEM`; or use `serves` in place of `runs` and `reads`: \
             the program then asks keyroll's socket",
        ));
    }
    let of_files = |text: &&At<String>| ["delivered", "read"].contains(&text.value.as_str());
    let Some(text) = revoke.require.iter().find(of_files) else { return Ok(()) };
    let why = format!(
        "`revoke.require` has `{}`, which only a file shows, and the consumer `{follower}` reads the store itself",
        text.value
    );
    Err(Mistake::new(Kind::BadCombination, why)
        .at(&text.span)
        .help(format!("leave out `{}`; `loaded`, `checked` and `exercised` prove more", text.value)))
}
