use keyroll_leak::mask_words;

/// The shortest run of letters and digits that may be a value, bytes.
const RUN_BYTES_MIN: usize = 8;

/// A run with this many changes between letters and digits is no word; `k8s` and `oauth2` have fewer.
const CHANGES_MIN: usize = 3;

/// A name that may be shown: short, in the characters of names, made of words. `None` for others, because the author
/// of the text may have put a value there.
pub(crate) fn shown(name: &str) -> Option<&str> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let is_name = !name.is_empty() && name.bytes().all(good) && mask_words(name) == name;
    let mut runs = name.as_bytes().split(|byte| !byte.is_ascii_alphanumeric());
    (is_name && !runs.any(is_mixed)).then_some(name)
}

/// Whether letters and digits alternate too often for a word.
fn is_mixed(run: &[u8]) -> bool {
    let change = |pair: &&[u8]| matches!(pair, [one, two] if one.is_ascii_digit() != two.is_ascii_digit());
    let changes = run.windows(2).filter(change).count();
    run.len() >= RUN_BYTES_MIN && changes >= CHANGES_MIN && changes * 4 >= run.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_reported_and_what_may_be_a_value_is_not() {
        for name in [
            "JWT_SECRET",
            "DB_PASSWORD_2",
            "clientSecret",
            "X-Api-Key",
            "spring.datasource.password",
            "K8S_OAUTH2_TOKEN",
            "k8sToken",
            "password",
            "config.secret_key",
        ] {
            assert_eq!(shown(name), Some(name), "{name}");
        }
        let formed = format!("glpat-{}_token", "kD93hfQ0plm4XyT71bQe");
        let long = format!("{}_TOKEN", "LONG_".repeat(20));
        for name in [
            "",
            "kD93hfQ0_token",
            "a1b2c3d4-secret",
            "tR9vWq2LxZ7nB5cYpassword",
            "0123456789abcdef0123456789abcdef",
            "a token",
            "x\u{1b}[2Jtoken",
            "token\n",
            "pass/word",
            "tökén_token",
            &formed,
            &long,
        ] {
            assert_eq!(shown(name), None, "{name}");
        }
    }
}
