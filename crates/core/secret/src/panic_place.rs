use std::panic::PanicHookInfo;

/// How many names of a path are shown.
const NAMES_MAX: usize = 3;

/// Where a panic was: ` at core/secret/lib.rs:7:5`, or nothing if that is not known. A panic's message is not to be
/// shown: it may contain a value.
pub fn panic_place(info: &PanicHookInfo<'_>) -> String {
    info.location().map_or_else(String::new, |location| {
        let mut tail: Vec<&str> = location.file().rsplit('/').take(NAMES_MAX).collect();
        tail.reverse();
        format!(" at {}:{}:{}", tail.join("/"), location.line(), location.column())
    })
}
