//! What is written for people: the status of an object, and its events.

use k8s_openapi::api::core::v1::ObjectReference;
use keyroll_kube::{Cluster, Effect, failure};
use keyroll_port::Failure;
use kube::api::{Api, DynamicObject, PostParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use serde_json::json;

use crate::cut::cut;
use crate::news::{NOTE_BYTES_MAX, News};
use crate::object::{GROUP, KIND, SecretRotation, Status, VERSION, resource};

/// Who writes the events.
const REPORTER: &str = "keyroll.dev/keyroll";
/// What the events are about.
const ACTION: &str = "Rotate";
/// Whether a status was written.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// It is there; the object as it is now.
    Done(Box<SecretRotation>),
    /// The object was deleted; there may be another one of its name.
    Gone,
    /// Somebody changed the object since it was read: what it asks for now was not looked at.
    Overtaken,
}

/// Writes the whole status of an object, if nobody changed the object since it was read. A field that the new status does not
/// have is not there afterwards.
///
/// # Errors
/// The API server cannot be reached, or does not let it be written.
pub async fn show(cluster: &Cluster, object: &SecretRotation, status: &Status) -> Result<Shown, Failure> {
    let attempted = format!("write the status of {}", object.id);
    let api: Api<DynamicObject> =
        Api::namespaced_with(cluster.client.clone(), &object.namespace, &resource());
    let written = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": KIND,
        "metadata": {
            "name": object.id.name,
            "namespace": object.namespace,
            "uid": object.uid,
            "resourceVersion": object.resource_version,
        },
        "spec": object.spec,
        "status": status,
    });
    let answer = api.replace_subresource("status", &object.id.name, &PostParams::default(), &written).await;
    match answer {
        Ok(now) => Ok(SecretRotation::read(&object.id.host, now)
            .map_or(Shown::Overtaken, |now| Shown::Done(Box::new(now)))),
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(Shown::Gone),
        // It says so of another version and of another uid.
        Err(kube::Error::Api(answer)) if answer.code == 409 => {
            let now = api.get_metadata_opt(&object.id.name).await;
            let now = now.map_err(|error| failure(attempted, error, Effect::None))?;
            let is_it = now.is_some_and(|now| now.metadata.uid.as_ref() == Some(&object.uid));
            Ok(if is_it { Shown::Overtaken } else { Shown::Gone })
        }
        Err(error) => Err(failure(attempted, error, Effect::Maybe)),
    }
}

/// Writes an event on an object for each piece of news, in their order, up to the first that cannot be written.
///
/// # Errors
/// The API server cannot be reached, or does not let it be written.
pub async fn tell(cluster: &Cluster, object: &SecretRotation, news: &[News]) -> Result<(), Failure> {
    let regarding = ObjectReference {
        api_version: Some(format!("{GROUP}/{VERSION}")),
        kind: Some(KIND.to_owned()),
        name: Some(object.id.name.clone()),
        namespace: Some(object.namespace.clone()),
        uid: Some(object.uid.clone()),
        ..ObjectReference::default()
    };
    for one in news {
        // A recorder counts an event of the same reason as the one before, and drops its note: with a new one each event is made,
        // and none is patched.
        let reporter = Reporter { controller: REPORTER.to_owned(), instance: None };
        let recorder = Recorder::new(cluster.client.clone(), reporter);
        let event = Event {
            type_: if one.warning { EventType::Warning } else { EventType::Normal },
            reason: one.reason.to_owned(),
            note: Some(cut(&one.note, NOTE_BYTES_MAX)),
            action: ACTION.to_owned(),
            secondary: None,
        };
        recorder.publish(&event, &regarding).await.map_err(|error| {
            failure(format!("write the event {} of {}", one.reason, object.id), error, Effect::Maybe)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
