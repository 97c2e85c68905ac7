use super::remark::Remark;
use crate::document::Document;
use crate::operation::{Method, Request};

/// Operations that only read, with a method that changes something.
pub(crate) fn judge(document: &Document) -> Vec<Remark> {
    let op = &document.op;
    let mut reading: Vec<(&str, &Request)> = vec![("op.verify", &op.verify.request)];
    reading.extend(op.get.iter().map(|get| ("op.get", &get.request)));
    reading.extend(op.list.iter().map(|list| ("op.list", &list.request)));
    reading.extend(op.identify.iter().map(|identify| ("op.identify", &identify.request)));
    reading.extend(op.rights.iter().map(|rights| ("op.rights", &rights.request)));
    reading.extend(op.sessions.iter().map(|sessions| ("op.sessions", &sessions.request)));
    reading.extend(op.refusals.iter().map(|refusals| ("op.refusals", &refusals.request)));
    let changing = reading.into_iter().filter(|(_, request)| changes(request.method));
    let remark = |(key, _)| Remark {
        rule: "read-changes",
        key: format!("{key}.request.method"),
        message: format!("keyroll calls {key} often, and expects that it changes nothing"),
        help: "use a GET, or the POST of an endpoint that only reads".to_owned(),
    };
    changing.map(remark).collect()
}

/// A POST may read: endpoints for tokens and for searches do.
fn changes(method: Method) -> bool {
    match method {
        Method::Get | Method::Post => false,
        Method::Put | Method::Patch | Method::Delete => true,
    }
}
