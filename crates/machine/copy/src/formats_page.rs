//! The page docs/reference/formats.md, made from the data of the dialects.

use std::fmt::Write as _;

use crate::dialect::{DOTENV_FORMS, DOTENV_READERS, DotenvForm, DotenvRead};
use crate::{CopyError, Format};

const HEAD: &str = "# Formats\n\n\
    Generated from `crates/machine/copy/src/dialect.rs` and `formats_page.rs`; do not edit by hand.\n\n\
    Readers of one format do not always read the same. keyroll writes only what every reader of the present line reads alike, \
    and where readers differ about a value it says which ones.\n\n\
    ## Env files\n\n\
    The cells are what each reader makes of the line. `@` stands for letters and digits; *as written*: the value as it stands, \
    without quotes around it; *not seen*: the name has no value; *refused*: the whole file is an error; *other*: a value that \
    depends on more than the line. The last column is keyroll's own reading: *one value*, or *differs* where readers disagree \
    about the value. Quotes that `docker` keeps, and a carriage return that a shell keeps, count as a wrapping of the \
    same value: `keyroll why` names it. Where keyroll knows the reader, it takes what that \
    reader has: a line that it does not see, or of which it takes more for the value, is doubtful. \
    `crates/machine/copy/tests/dialects.rs` compares each cell with the reader, if that is \
    installed; with `CI=true` every reader must be.\n\n";

const SUPERVISOR: &str = "\n## supervisord\n\n\
    `environment=` of a `[program:x]`, `[supervisord]`, `[fcgi-program:x]` or `[eventlistener:x]` is a list \
    `NAME=\"value\",OTHER='value'` that may continue on indented lines; in keyroll.toml one of its values is \
    `format = \"ini\"`, `at = \"/program:x/environment/NAME\"`. As supervisor 4.3.0 reads it (tests \
    `supervisord_reads_what_was_written` and `supervisord_agrees_on_lists_of_any_form`):\n\n\
    | written | read |\n|---|---|\n\
    | `A=\"a%%b\"` | `a%b` |\n\
    | `A=\"%(ENV_X)s\"` | the variable X of supervisord's own environment, or of `environment=` in `[supervisord]`: a reference, no copy; not told if its value has the quote around it |\n\
    | `A=\"a,b;c\"` | `a,b;c`; a blank and `;` or `#` behind it begin a comment, in quotes too |\n\
    | `A=\"'a'\"` | `a`: all quotes at both ends are taken off |\n\
    | `A=a/b.c+d-e:f(g)_h` | as written; any other byte needs quotes |\n\
    | `A=\"a\"` and `B=\"b\"` in the next line, without a comma | refused, and so is each other entry of that list |\n";

const OTHERS: &str = "\n## Other formats\n\n\
    What keyroll writes is read again by these readers.\n\n\
    | `format` | readers | test |\n|---|---|---|\n\
    | `json` | json of Python, JSON of Node | `json_readers_read_what_was_written` |\n\
    | `yaml` | PyYAML, yaml of npm | `yaml_readers_read_what_was_written` |\n\
    | `compose` | docker compose | `docker_compose_reads_what_was_written` |\n\
    | `toml` | tomllib of Python | `toml_readers_read_what_was_written` |\n\
    | `ini` | configparser of Python, my_print_defaults of MySQL, botocore | `ini_readers_read_what_was_written`, `botocore_reads_what_was_written` |\n\
    | `npmrc` | npm and its parser | `npm_reads_what_was_written` |\n\
    | `pgpass` | libpq | `libpq_finds_what_was_written` |\n\
    | `netrc` | curl | `curl_reads_what_was_written_into_netrc` |\n";

/// The page docs/reference/formats.md.
pub fn formats_markdown() -> String {
    let mut page = HEAD.to_owned();
    let _ = writeln!(page, "| form | file | {} | keyroll |", DOTENV_READERS.join(" | "));
    let _ = writeln!(page, "|---|---|{}---|", "---|".repeat(DOTENV_READERS.len()));
    for form in &DOTENV_FORMS {
        let cells: Vec<String> = form.read.iter().map(cell).collect();
        let _ =
            writeln!(page, "| {} | {} | {} | {} |", form.name, code(form.file), cells.join(" | "), own(form));
    }
    page + SUPERVISOR + OTHERS
}

fn cell(read: &DotenvRead) -> String {
    match read {
        DotenvRead::Written => "as written".to_owned(),
        DotenvRead::Value("") => "an empty value".to_owned(),
        DotenvRead::Value(value) => code(value),
        DotenvRead::Other => "*other*".to_owned(),
        DotenvRead::Absent => "*not seen*".to_owned(),
        DotenvRead::Refused => "*refused*".to_owned(),
    }
}

/// keyroll's own reading.
fn own(form: &DotenvForm) -> &'static str {
    let read = Format::Dotenv.variables(form.file.as_bytes()).unwrap_or_default();
    match read.into_iter().find(|(name, _)| name == "K").map(|(_, value)| value) {
        Some(Ok(_)) => "one value",
        Some(Err(CopyError::Ambiguous { .. })) => "differs",
        Some(Err(_)) | None => "not seen",
    }
}

/// A text as code, on one line of a table.
fn code(text: &str) -> String {
    let plain = text.strip_suffix('\n').unwrap_or(text);
    let shown =
        plain.replace('\u{feff}', "<BOM>").replace('\r', "<CR>").replace('\n', "<LF>").replace('|', "\\|");
    format!("`` {shown} ``")
}
