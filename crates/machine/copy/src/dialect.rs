//! How the readers of env files read the forms of a line: data, and each cell is compared with the real reader by
//! `crates/machine/copy/tests/dialects.rs`.

use std::sync::OnceLock;

use DotenvRead::{Absent as ABSENT, Other as OTHER, Refused as REFUSED, Value as T, Written as P};

/// A reader of env files, with the version that the cells are from.
pub const DOTENV_READERS: [&str; 9] = [
    "sh (`set -a; . FILE`; dash 0.5.12, bash 5.2)",
    "`docker run --env-file` (Docker 28.2)",
    "`env_file` of Compose (2.26)",
    "`EnvironmentFile=` of systemd (252)",
    "python-dotenv (1.0.1)",
    "dotenv of npm (16.6)",
    "`node --env-file` (20.20)",
    "godotenv of Go (1.5.1)",
    "dotenv of Ruby (2.4.0)",
];

/// The same in a sentence.
const NAMES: [&str; 9] = [
    "sh",
    "docker",
    "Compose",
    "systemd",
    "python-dotenv",
    "dotenv of npm",
    "node",
    "dotenv of Go",
    "dotenv of Ruby",
];

/// A reader, by its place in [`DOTENV_READERS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DotenvReader {
    /// A POSIX shell.
    Sh,
    /// `docker run --env-file`.
    Docker,
    /// `env_file` of Compose.
    Compose,
    /// `EnvironmentFile=` of systemd.
    Systemd,
    /// python-dotenv.
    Python,
    /// dotenv of npm.
    Npm,
    /// `node --env-file`.
    Node,
    /// godotenv of Go.
    Go,
    /// dotenv of Ruby.
    Ruby,
}

/// What a reader makes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DotenvRead {
    /// The value as it is written.
    Written,
    /// This value; `@` stands for the text that the line has in the place of `@`.
    Value(&'static str),
    /// Another value, which depends on more than the line.
    Other,
    /// The name has no value.
    Absent,
    /// The whole file is an error.
    Refused,
}

/// One form of a line.
pub struct DotenvForm {
    form: Form,
    /// What distinguishes it, in words.
    pub name: &'static str,
    /// A file with the line; `@` stands for letters and digits.
    pub file: &'static str,
    /// The value as it is written there, without quotes around it.
    pub written: &'static str,
    /// What each reader makes of it.
    pub read: [DotenvRead; DOTENV_READERS.len()],
}

/// The forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Export,
    Blanks,
    Indented,
    Colon,
    TrailingBlanks,
    Comment,
    Hash,
    BlankInside,
    Semicolon,
    Ampersand,
    Tilde,
    QuoteInside,
    Single,
    Double,
    Backticks,
    QuotedComment,
    BehindQuote,
    TwoLines,
    CrLf,
    QuotedCrLf,
    ByteOrderMark,
    NoLineEnd,
    Twice,
    Dollar,
    DollarSingle,
    DollarDouble,
    Braces,
    BracesSingle,
    DollarDigit,
    Dollars,
    Backslash,
    BackslashSingle,
    BackslashesSingle,
    BackslashDouble,
    NewlineDouble,
    QuoteDouble,
    EscapedDollar,
    Continued,
    Percents,
}

const fn row(
    form: Form,
    name: &'static str,
    file: &'static str,
    written: &'static str,
    read: [DotenvRead; DOTENV_READERS.len()],
) -> DotenvForm {
    DotenvForm { form, name, file, written, read }
}

/// Every form with what each reader makes of it, in the order of [`DOTENV_READERS`].
#[rustfmt::skip]
pub const DOTENV_FORMS: [DotenvForm; 40] = [
    row(Form::Plain, "no quotes", "K=@\n", "@", [P, P, P, P, P, P, P, P, P]),
    row(Form::Export, "`export` before the name", "export K=@\n", "@", [P, REFUSED, P, ABSENT, P, P, P, P, P]),
    row(Form::Blanks, "blanks around the `=`", "K = @\n", "@", [ABSENT, REFUSED, P, P, P, P, P, P, P]),
    row(Form::Indented, "blanks before the name", "  K=@\n", "@", [P, P, P, P, P, P, P, P, P]),
    row(Form::Colon, "a colon in place of the `=`", "K: @\n", "@", [ABSENT, REFUSED, P, ABSENT, ABSENT, P, ABSENT, P, P]),
    row(Form::TrailingBlanks, "blanks behind the value", "K=@  \n", "@", [P, T("@  "), P, P, P, P, P, P, P]),
    row(Form::Comment, "a comment behind the value", "K=@ # note\n", "@", [P, T("@ # note"), P, T("@ # note"), P, P, P, P, P]),
    row(Form::Hash, "a `#` inside the value", "K=@#x\n", "@#x", [P, P, P, P, P, T("@"), T("@"), P, T("@")]),
    row(Form::BlankInside, "a blank inside the value", "K=@ y\n", "@ y", [ABSENT, P, P, P, P, P, P, P, P]),
    row(Form::Semicolon, "a `;` inside the value", "K=@;y\n", "@;y", [T("@"), P, P, P, P, P, P, P, P]),
    row(Form::Ampersand, "an `&` inside the value", "K=@&y\n", "@&y", [ABSENT, P, P, P, P, P, P, P, P]),
    row(Form::Tilde, "a `~` at the start of the value", "K=~/@\n", "~/@", [OTHER, P, P, P, P, P, P, P, P]),
    row(Form::QuoteInside, "a quote inside the value", "K=@'y\n", "@'y", [REFUSED, P, P, P, P, P, P, P, P]),
    row(Form::Single, "single quotes", "K='@'\n", "@", [P, T("'@'"), P, P, P, P, P, P, P]),
    row(Form::Double, "double quotes", "K=\"@\"\n", "@", [P, T("\"@\""), P, P, P, P, P, P, P]),
    row(Form::Backticks, "backticks around the value", "K=`@`\n", "@", [T(""), T("`@`"), T("`@`"), T("`@`"), T("`@`"), P, P, T("`@`"), T("`@`")]),
    row(Form::QuotedComment, "a comment behind the quotes", "K='@' # note\n", "@", [P, T("'@' # note"), P, T("@# note"), P, P, P, P, P]),
    row(Form::BehindQuote, "more behind the closing quote", "K='@'y\n", "'@'y", [T("@y"), P, T("@"), T("@y"), ABSENT, P, T("@"), REFUSED, P]),
    row(Form::TwoLines, "a line end inside quotes", "K='@\ny'\n", "@\ny", [P, T("'@"), P, P, P, P, P, P, T("'@")]),
    row(Form::CrLf, "a carriage return before the line end", "K=@\r\n", "@", [T("@\r"), P, P, P, P, P, P, P, P]),
    row(Form::QuotedCrLf, "a carriage return behind the quotes", "K=\"@\"\r\n", "@", [T("@\r"), T("\"@\""), P, P, P, P, P, P, P]),
    row(Form::ByteOrderMark, "a byte order mark before the name", "\u{feff}K=@\n", "@", [ABSENT, P, P, ABSENT, ABSENT, P, ABSENT, REFUSED, P]),
    row(Form::NoLineEnd, "no line end", "K=@", "@", [P, P, P, P, P, P, P, P, P]),
    row(Form::Twice, "a name that stands there twice", "K=old\nK=@\n", "@", [P, P, P, P, P, P, P, P, P]),
    row(Form::Dollar, "a `$` and a name", "K=@$zz\n", "@$zz", [T("@"), P, T("@"), P, P, P, P, P, T("@")]),
    row(Form::DollarSingle, "a `$` and a name in single quotes", "K='@$zz'\n", "@$zz", [P, T("'@$zz'"), P, P, P, P, P, P, P]),
    row(Form::DollarDouble, "a `$` and a name in double quotes", "K=\"@$zz\"\n", "@$zz", [T("@"), T("\"@$zz\""), T("@"), P, P, P, P, P, T("@")]),
    row(Form::Braces, "`${}` around a name", "K=@${zz}\n", "@${zz}", [T("@"), P, T("@"), P, T("@"), P, P, P, T("@")]),
    row(Form::BracesSingle, "`${}` in single quotes", "K='@${zz}'\n", "@${zz}", [P, T("'@${zz}'"), P, P, T("@"), P, P, P, P]),
    row(Form::DollarDigit, "a `$` and a digit", "K=@$2b\n", "@$2b", [T("@b"), P, P, P, P, P, P, T("@b"), T("@")]),
    row(Form::Dollars, "`$$`", "K=@$$zz\n", "@$$zz", [OTHER, P, T("@$zz"), P, P, P, P, P, T("@$")]),
    row(Form::Backslash, "a backslash", "K=@\\y\n", "@\\y", [T("@y"), P, P, T("@y"), P, P, P, P, P]),
    row(Form::BackslashSingle, "a backslash in single quotes", "K='@\\y'\n", "@\\y", [P, T("'@\\y'"), P, P, P, P, P, P, P]),
    row(Form::BackslashesSingle, "two backslashes in single quotes", "K='@\\\\y'\n", "@\\\\y", [P, T("'@\\\\y'"), P, P, T("@\\y"), P, P, P, P]),
    row(Form::BackslashDouble, "a backslash in double quotes", "K=\"@\\y\"\n", "@\\y", [P, T("\"@\\y\""), P, P, P, P, P, T("@y"), T("@y")]),
    row(Form::NewlineDouble, "`\\n` in double quotes", "K=\"@\\ny\"\n", "@\\ny", [P, T("\"@\\ny\""), T("@\ny"), P, T("@\ny"), T("@\ny"), T("@\ny"), T("@\ny"), T("@\ny")]),
    row(Form::QuoteDouble, "`\\\"` in double quotes", "K=\"@\\\"y\"\n", "@\\\"y", [T("@\"y"), T("\"@\\\"y\""), T("@\"y"), T("@\"y"), T("@\"y"), P, T("@\\"), T("@\"y"), T("@\"y")]),
    row(Form::EscapedDollar, "`\\$` in double quotes", "K=\"@\\$y\"\n", "@\\$y", [T("@$y"), T("\"@\\$y\""), T("@$y"), T("@$y"), P, P, P, T("@$y"), T("@$y")]),
    row(Form::Continued, "a backslash at the end of the line", "K=@\\\ny\n", "@\\\ny", [T("@y"), T("@\\"), T("@\\"), T("@y"), T("@\\"), T("@\\"), T("@\\"), REFUSED, T("@\\")]),
    row(Form::Percents, "`%%`", "K=@%%y\n", "@%%y", [P, P, P, P, P, P, P, P, P]),
];

/// Whether a reader takes a value of this form as it is written, without quotes around it.
pub(crate) fn is_plain(form: Form, reader: DotenvReader) -> bool {
    // What a backslash does in double quotes depends on the byte behind it.
    let other = matches!(form, Form::Backticks | Form::BackslashDouble);
    let of = DOTENV_FORMS.iter().find(|one| one.form == form).filter(|_| !other);
    of.and_then(|one| one.read.get(reader as usize)) == Some(&P)
}

/// Whether a reader has the value of a line of this form, apart from what it leaves around it: quotes, blanks, a
/// carriage return.
pub(crate) fn is_given(form: Form, reader: DotenvReader) -> bool {
    let around = |letter: char| matches!(letter, '\'' | '"' | ' ' | '\r');
    let given = |one: &DotenvForm| match one.read.get(reader as usize) {
        Some(P) => true,
        Some(T(text)) => text.trim_matches(around) == one.written,
        Some(OTHER | ABSENT | REFUSED) | None => false,
    };
    DOTENV_FORMS.iter().any(|one| one.form == form && given(one))
}

/// Whether a line of this form makes the whole file an error for a reader.
pub(crate) fn is_refused(form: Form, reader: DotenvReader) -> bool {
    DOTENV_FORMS.iter().any(|one| one.form == form && one.read.get(reader as usize) == Some(&REFUSED))
}

/// How readers differ about a form, in words: who reads the value as it is written, who reads another, who does not see it.
pub(crate) fn differ(form: Form) -> &'static str {
    static WORDS: OnceLock<Vec<String>> = OnceLock::new();
    let all = WORDS.get_or_init(|| DOTENV_FORMS.iter().map(words).collect());
    let at = DOTENV_FORMS.iter().position(|one| one.form == form);
    at.and_then(|at| all.get(at)).map_or("some readers expand the value", String::as_str)
}

fn words(form: &DotenvForm) -> String {
    let of = |wanted: &dyn Fn(&DotenvRead) -> bool| -> Vec<&str> {
        let all = form.read.iter().zip(NAMES).filter(|(read, _)| wanted(read));
        all.map(|(_, name)| name).collect()
    };
    let groups = [
        ("read as it is written by", of(&|read| *read == P)),
        ("as another value by", of(&|read| matches!(read, T(_) | OTHER))),
        ("not seen by", of(&|read| *read == ABSENT)),
        ("the whole file is refused by", of(&|read| *read == REFUSED)),
    ];
    let said = groups.iter().filter(|(_, names)| !names.is_empty());
    let said: Vec<String> = said.map(|(what, names)| format!("{what} {}", names.join(", "))).collect();
    format!("{}: {}", form.name, said.join("; "))
}
