//! What in an agent's own files, or in the answer of an adapter, prevents a rotation.

use keyroll_codes::Code;
use keyroll_config::{Consumer, Secret};
use keyroll_port::{Class, Failure};

/// Refuses a rotation that the agent's own files contradict, above all another source of its key, and one whose adapter
/// makes no new process where that must read the store. It runs the consumers' commands: first see that no other user can
/// change them ([`super::refuse_untrusted`]).
///
/// # Errors
/// The agent's own objection, or `K0809` for the adapter.
pub fn refuse_objections(secret: &Secret) -> Result<(), Failure> {
    secret.consumers.iter().try_for_each(refuse_reload)?;
    let instances = secret.consumers.iter().flat_map(|consumer| consumer.runs.instances());
    match instances.flat_map(|instance| instance.workload.objections()).next() {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

/// Refuses a consumer that reads the store itself, and whose processes go on when they take a value. The configuration refuses
/// every other manager of this kind; an adapter is asked only after it was seen that no other user can change it.
fn refuse_reload(consumer: &Consumer) -> Result<(), Failure> {
    let workload = consumer.runs.workload();
    let is_reload = || workload.needs_reload() && !workload.is_job() && !workload.starts_new_process();
    if !consumer.follows || !is_reload() {
        return Ok(());
    }
    let attempted = format!("move {} to the new key", consumer.name);
    Err(Failure::new(Class::Permanent, Code::NotPlannable, attempted)
        .because(
            "it reads the store itself, and its adapter says that its processes go on: their memory keeps the old value, so \
             that a rollback could not be seen",
        )
        .help(
            "let the adapter restart it, and answer `describe` with \"takes\":\"restart\"; or, if the program reads the store \
             again by itself, write `rereads = true` in place of `exec`",
        ))
}
