//! The names of hosts in an ssh_config. How each is reached stays there: ssh reads it.

use keyroll_codes::Code;
use keyroll_secret::SecretBytes;

use super::listed::Listed;
use crate::problem::Problem;

/// The literal names of all `Host` lines, each once. Included files are not read.
///
/// # Errors
/// It is not text, or names no host.
pub(super) fn read(text: &SecretBytes) -> Result<Vec<Listed>, Problem> {
    let problem = |why: &str| {
        Problem::new(Code::UsageWrong, "read the list of hosts").because(why).help(
            "name an ssh_config with lines `Host NAME`, or the output of ansible-inventory --list; files that an ssh_config \
             includes are named by themselves",
        )
    };
    let text = std::str::from_utf8(text.expose()).map_err(|_| problem("it is not text"))?;
    let mut names: Vec<&str> = Vec::new();
    for name in text.lines().filter_map(names_of).flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return Err(problem("it names no host"));
    }
    Ok(names.into_iter().map(Listed::named).collect())
}

/// The literal names in a line `Host a b *.example !c`; `None` if it is another line.
fn names_of(line: &str) -> Option<Vec<&str>> {
    let line = line.trim();
    let end = line.find(|sign: char| sign.is_whitespace() || sign == '=')?;
    let (keyword, rest) = line.split_at(end);
    if !keyword.eq_ignore_ascii_case("host") {
        return None;
    }
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    // What stands behind `#` is a comment.
    let rest = rest.split('#').next().unwrap_or_default();
    let names = rest.split_whitespace().map(|name| name.trim_matches('"'));
    Some(names.filter(|name| !name.is_empty() && !name.contains(['*', '?', '!'])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_literal_names_are_hosts() {
        let text = "# Host no\nHost a b.example *.example !c web-? # d\n  HostName 10.0.0.1\nhost=\"e\"\nHOST = f\n\
                    HostKeyAlias g\nMatch host h\n  User x\nHost a\nHost\n";
        let all = read(&SecretBytes::from(text.to_owned())).unwrap();
        let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["a", "b.example", "e", "f"]);
    }

    #[test]
    fn a_file_without_hosts_is_refused() {
        for bytes in
            [b"".to_vec(), b"web-1\nweb-2\n".to_vec(), b"Host *\n  User x\n".to_vec(), vec![0xff, 0xfe]]
        {
            assert_eq!(read(&SecretBytes::new(bytes)).unwrap_err().code, "K0802");
        }
    }
}
