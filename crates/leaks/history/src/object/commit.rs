//! Parses commits and tags.

use crate::object::id::ObjectId;

/// The longest name or address of an author that is kept, bytes.
const PERSON_BYTES_MAX: usize = 256;

/// The header of a commit.
#[derive(Debug)]
pub(crate) struct Commit<'a> {
    pub(crate) tree: ObjectId,
    pub(crate) parents: Vec<ObjectId>,
    pub(crate) author: Authorship<'a>,
    /// When it was committed, seconds since 1970.
    pub(crate) committed: i64,
}

/// An author or committer, with the time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Authorship<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) email: &'a [u8],
    /// Seconds since 1970.
    pub(crate) time: i64,
}

/// Parses a commit. Its header has the lines tree, parents, author, committer, in this order.
pub(crate) fn parts(bytes: &[u8]) -> Option<Commit<'_>> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let tree = ObjectId::from_hex(lines.next()?.strip_prefix(b"tree ")?)?;
    let mut parents = Vec::new();
    let mut author = Authorship::default();
    let mut committed = None;
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some(parent) = line.strip_prefix(b"parent ") {
            parents.push(ObjectId::from_hex(parent)?);
        } else if let Some(person) = line.strip_prefix(b"author ") {
            author = written(person);
        } else if let Some(person) = line.strip_prefix(b"committer ") {
            committed = Some(written(person).time);
            break;
        }
    }
    Some(Commit { tree, parents, author, committed: committed.unwrap_or(author.time) })
}

/// Parses `name <email> seconds zone`. Missing or malformed parts are empty or 0: git does not check them.
pub(crate) fn written(line: &[u8]) -> Authorship<'_> {
    let close = memchr::memrchr(b'>', line).unwrap_or(0);
    let open = memchr::memchr(b'<', line).unwrap_or(close);
    let short = |bytes: &'_ [u8]| bytes.len().min(PERSON_BYTES_MAX);
    let name = line.get(..open).unwrap_or_default().trim_ascii();
    let email = line.get(open + 1..close).unwrap_or_default().trim_ascii();
    let behind = line.get(close + 1..).unwrap_or_default().trim_ascii();
    let digits = behind.split(|byte| *byte == b' ').next().unwrap_or_default();
    let time = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0);
    Authorship {
        name: name.get(..short(name)).unwrap_or_default(),
        email: email.get(..short(email)).unwrap_or_default(),
        time,
    }
}

/// The id of the object that a tag names.
pub(crate) fn tagged(bytes: &[u8]) -> Option<ObjectId> {
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    ObjectId::from_hex(line.strip_prefix(b"object ")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_read() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        let text = format!(
            "tree {id}\nparent {id}\nparent {id}\nauthor A <B> C <a@example.org> 12 +0100\n\
             committer D <> -7 +0000\nencoding x\n\nparent {id}\n"
        );
        let read = parts(text.as_bytes()).unwrap();
        assert_eq!((read.parents.len(), read.committed, read.author.time), (2, -7, 12));
        assert_eq!(read.author.name, b"A");
        assert!(parts(b"blob").is_none());
        assert_eq!(written(b"nobody").time, 0);
        assert_eq!(written(b"> <").email, b"");
    }
}
