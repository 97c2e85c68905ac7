use super::remark::Remark;
use crate::document::Document;
use crate::operation::Method;

/// The operations that change something.
const CHANGES: [&str; 5] = ["op.mint", "op.disable", "op.enable", "op.revoke", "op.end_session"];

/// Operations that only read, with a method that changes something.
pub(crate) fn judge(document: &Document) -> Vec<Remark> {
    let requests = document.op.requests().into_iter();
    let changing = requests.filter(|(key, request)| !CHANGES.contains(key) && changes(request.method));
    let remark = |(key, _): (&str, _)| Remark {
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
