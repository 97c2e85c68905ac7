use std::path::Path;

use super::reading::STEPS_MAX;
use super::*;

/// `+` = surely, `?` = perhaps; what is read, set or hidden.
fn told(text: &str) -> Vec<String> {
    let around = Around {
        folder: Path::new("/w"),
        script: Some(Path::new("/app/run.sh")),
        home: Some(Path::new("/home/ada")),
    };
    let mark = |perhaps: bool| if perhaps { '?' } else { '+' };
    let shown = |step| match step {
        Step::Reads { path, perhaps, .. } => format!("{}{}", mark(perhaps), path.display()),
        Step::Sets { name, value, perhaps, exported, .. } => {
            let own = if exported { "" } else { "own " };
            format!("{own}{}{name}={}", mark(perhaps), String::from_utf8_lossy(value.expose()))
        }
        Step::Hidden { name, .. } => format!("hidden {}", name.unwrap_or_default()),
    };
    steps(text, &around).into_iter().map(shown).collect()
}

#[test]
fn every_way_of_reading_a_file_is_recognized() {
    for (text, wanted) in [
        ("set -a; . ./.env; set +a; exec python3 x", "+/w/.env"),
        ("set -a && source .env && set +a && python3 x", "+/w/.env"),
        ("set -o allexport\nsource '/srv/a b/.env'\n", "+/srv/a b/.env"),
        ("cd \"$(dirname \"$0\")\" && . ./.env && python3 x", "+/app/.env"),
        ("cd `dirname $0`\n. ../.env", "+/app/../.env"),
        (". \"$(dirname -- \"${BASH_SOURCE[0]}\")/.env\"", "+/app/.env"),
        (". \"${BASH_SOURCE%/*}/.env\"", "+/app/.env"),
        (". $HOME/.keys; x", "+/home/ada/.keys"),
        (". ~/.keys", "+/home/ada/.keys"),
        ("cd /srv; source \"$PWD/.env\"", "+/srv/.env"),
        ("exec env $(grep -v '^#' .env | xargs) python3 api.py", "+/w/.env"),
        ("env $(cat .env | xargs) python3 x", "+/w/.env"),
        ("env $(xargs < .env) python3 x", "+/w/.env"),
        ("export $(grep -v '^#' /srv/.env | xargs -d '\\n')", "+/srv/.env"),
        ("export $(<.env)", "+/w/.env"),
        ("node --env-file=.env server.js", "+/w/.env"),
        ("docker run --env-file ./api.env x", "+/w/api.env"),
        ("[ -f .env ] && . ./.env", "+/w/.env"),
        ("if [ -r ./.env ]; then\n  . ./.env\nfi\n", "+/w/.env"),
        ("bash -c 'set -a; . ./.env; python3 x'", "+/w/.env"),
        ("dotenv", "+/w/.env"),
        // As bash itself does.
        (". ./.env\r\npython3 x\r\n", "+/w/.env\r"),
        (". \\\n ./.env", "+/w/.env"),
    ] {
        assert_eq!(told(text), [wanted], "{text}");
    }
    assert_eq!(told("DIR=/srv/app\n. \"$DIR/.env\""), ["own +DIR=/srv/app", "+/srv/app/.env"]);
    let nested = "HERE=$(cd \"$(dirname \"$0\")\" && pwd)\n. \"${HERE}/.env\"";
    assert_eq!(told(nested), ["own +HERE=/app", "+/app/.env"]);
}

#[test]
fn text_that_only_looks_like_reading_is_none() {
    for text in [
        "# . ./.env",
        "echo '. ./.env'",
        "echo \". ./.env\"",
        "cat <<END\n. ./.env\nEND\n",
        "cat <<'E'\nKEY=x\nE\n",
        "grep -q source .env",
        "exec python3 x\n. ./.env",
        "exit 0; . ./.env",
        "timeout 150 ./\"$1\".sh; :",
        "A=1\nunset A",
    ] {
        assert_eq!(told(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_condition_makes_it_perhaps() {
    for text in [
        "if [ \"$1\" = prod ]; then . ./.env; fi",
        "[ -f other ] && . ./.env",
        "test -z \"$X\" || . ./.env",
        "load() {\n . ./.env\n}",
        "case $1 in a) . ./.env;; esac",
        "if [ -f .env ]; then :; else . ./.env; fi",
    ] {
        assert_eq!(told(text), ["?/w/.env"], "{text}");
    }
    assert_eq!(told("for i in 1 2; do . ./.env; done"), ["hidden i", "?/w/.env"]);
    assert_eq!(told("if x; then y; fi\n. ./.env"), ["+/w/.env"]);
    assert_eq!(told("[ -f a ] && b; . ./.env"), ["+/w/.env"]);
    assert_eq!(told("f() { :; }\n. ./.env"), ["+/w/.env"]);
}

#[test]
fn values_are_told_only_where_the_text_has_them() {
    assert_eq!(told("export A='x y' B=\"z\"; c"), ["+A=x y", "+B=z"]);
    assert_eq!(told("A=b python3 x"), ["+A=b"]);
    assert_eq!(told("env A=b python3 x"), ["+A=b"]);
    assert_eq!(told("declare -x A=b"), ["+A=b"]);
    for (text, name) in [
        ("A=$(cat /run/key)", "A"),
        ("A=$B", "A"),
        ("A+=x", "A"),
        ("read A", "A"),
        ("eval \"$X\"", ""),
        (". \"$DIR/.env\"", ""),
        ("cd \"$X\"; . ./.env", ""),
        (". ./*.env", ""),
        ("source <(x)", ""),
        ("export $(op read x)", ""),
        ("sudo -E python3 x", ""),
        ("op run -- python3 x", ""),
        ("DIR=${DIR:-/srv}", "DIR"),
    ] {
        assert_eq!(told(text), [format!("hidden {name}")], "{text}");
    }
}

#[test]
fn no_text_breaks_it() {
    for text in
        ["'", "\"", "$(", "${", "`", "<<", "((((", "}}}}", "a && || ;;", "if", "\\", "$", "a <", "<<E\n"]
    {
        told(text);
    }
    told(&"$(".repeat(5_000));
    told(&"bash -c '".repeat(100));
    told(&"if x; then ".repeat(3_000));
    assert_eq!(told(&". ./.env\n".repeat(100_000)).len(), 1, "it is too large");
}

const SCRIPT: &str = "/srv/app/bin/run.sh";

/// The steps as text. The values of these tests are no secrets.
fn sentence(text: &str) -> String {
    let around = Around {
        folder: Path::new("/srv/app"),
        script: Some(Path::new(SCRIPT)),
        home: Some(Path::new("/home/u")),
    };
    let one = |step: Step| match step {
        Step::Reads { path, perhaps, .. } => {
            format!("{}. {}", if perhaps { "? " } else { "" }, path.display())
        }
        Step::Sets { name, value, perhaps, exported, .. } => {
            let value = String::from_utf8_lossy(value.expose()).into_owned();
            let how = if exported { "export " } else { "" };
            format!("{}{how}{name}={value}", if perhaps { "? " } else { "" })
        }
        Step::Hidden { name, .. } => format!("hidden {}", name.unwrap_or_default()).trim_end().to_owned(),
    };
    steps(text, &around).into_iter().map(one).collect::<Vec<_>>().join(" | ")
}

fn all_tell(wanted: &str, texts: &[&str]) {
    for text in texts {
        assert_eq!(sentence(text), wanted, "{text}");
    }
}

#[test]
fn a_sourced_file_is_read_wherever_its_path_is_literal() {
    all_tell(
        ". /srv/app/.env",
        &[
            ". ./.env; python x",
            "source .env",
            "set -a && . ./.env && set +a && python x",
            "set -a\n. './.env'\nset +a\nexec python x",
            ". \"$PWD/.env\"",
            ". $(pwd)/.env",
            ". `pwd`/.env",
            "cd sub && cd .. && . ./.env",
            "cd /x\ncd /srv/app; . ./.env",
            "command . ./.env",
            "\\. ./.env",
            ". ./.e\\\nnv",
            ". ./.env >/dev/null 2>&1",
            "{ . ./.env; }; x",
            "(set -a; . ./.env; exec x)",
            "bash -c '. ./.env; x'",
            "bash -euc \"sh -c '. ./.env && exec x'\"",
            "[ -f .env ] && . ./.env",
            "[[ -r ./.env ]] && source .env",
            "test -e .env && set -a && . ./.env && set +a",
            "if [ -f .env ]; then\n  set -a\n  . ./.env\n  set +a\nfi\nx",
            "cd \"$(dirname \"$0\")\"/..; . ./.env",
        ],
    );
    all_tell(
        "D=/srv/app/bin | . /srv/app/bin/x.env",
        &[
            "D=$(cd \"$(dirname \"${BASH_SOURCE[0]}\")\" >/dev/null 2>&1 && pwd)\n. \"$D/x.env\"",
            "D=${0%/*}; . ${D}/x.env",
            "D=$(dirname -- \"$(readlink -f -- \"$0\")\"); source \"${D:-/none}/x.env\"",
            "D=\"`dirname $0`\"; cd \"$D\" || exit 1; . ./x.env",
        ],
    );
    all_tell(". /home/u/x.env", &[". ~/x.env", "cd; . ./x.env", "cd ~ && . ./x.env", ". \"$HOME/x.env\""]);
}

#[test]
fn a_condition_a_loop_and_a_function_make_a_step_doubtful() {
    all_tell(
        "? . /srv/app/.env",
        &[
            "x && . ./.env",
            "x || . ./.env",
            "[ -n \"$X\" ] && . ./.env",
            "[ -f other ] && . ./.env",
            "if x; then . ./.env; fi",
            "if [ -f other ]; then . ./.env; fi",
            "if ! [ -f .env ]; then . ./.env; fi",
            "if x; then :; elif [ -f .env ]; then . ./.env; fi",
            "if x; then :; else . ./.env; fi",
            "case $1 in a|b) . ./.env;; esac",
            "case $1 in (a) ;; *) . ./.env ;; esac",
            "while x; do . ./.env; done",
            "until x; do . ./.env; done < list",
            "load() { . ./.env; }",
            "function load { . ./.env; }; load",
            "(. ./.env); x",
            ". ./.env | y; x",
            ". ./.env & x",
            "bash -c '. ./.env'; x",
            "x() { y; }; if z; then exec x; fi; . ./.env",
        ],
    );
    assert_eq!(sentence("[ -f a ] && . ./a || . ./b"), ". /srv/app/a | ? . /srv/app/b");
    assert_eq!(sentence("x && cd /y; . ./.env"), "hidden", "whether it went there");
    assert_eq!(sentence("D=a; if x; then D=b; fi; . ./$D"), "D=a | ? D=b | hidden");
    assert_eq!(sentence("D=a; f() { . ./$D; }; D=b; f"), "D=a | hidden | D=b");
    assert_eq!(sentence("f() { . ./.env; }; cd sub; f"), "hidden");
    assert_eq!(sentence("cd sub || . ./.env"), "hidden", "it did not go there");
    assert_eq!(
        sentence("f() { exec x; }; f; . ./.env"),
        "? . /srv/app/.env",
        "the function may end the text"
    );
    let deep = format!("{}. ./.env", "cd folder; ".repeat(1_000));
    assert_eq!(sentence(&deep), "hidden", "no path is so long");
}

#[test]
fn a_neighbour_that_only_looks_like_it_reads_nothing() {
    all_tell(
        "",
        &[
            "# . ./x.env",
            "x # . ./x.env",
            "cat <<E\n. ./x.env\nE\n",
            "cat <<-'E F'\n\t. ./x.env\n\tE F\n",
            "cat <<A <<B\n. ./x.env\nA\n. ./x.env\nB\n",
            "echo \". ./x.env\"",
            "echo source ./x.env",
            "grep -q source .env",
            "grep -q -- --env-file run.sh",
            "cat source; ./source x.env",
            "printf '%s' '. ./x.env'",
            "trap '. ./x.env' EXIT",
            "exit\n. ./x.env",
            "x; exit 0; . ./x.env",
            "exec x\n. ./x.env",
            "{ exec x; }; . ./x.env",
            "(exit; . ./x.env)",
            "x --env-filename y",
            "export $(cut -d= -f1 .env)",
            "export $(sed 's/=.*//' .env)",
            "A() { :; }",
            "[ \"$A\" = . ] && x",
            "unset -f f",
        ],
    );
    assert_eq!(sentence("exec >log 2>&1; . ./x.env"), ". /srv/app/x.env", "exec starts nothing here");
    assert_eq!(sentence("exec x & . ./x.env"), ". /srv/app/x.env", "it ran beside the shell");
    assert_eq!(
        sentence(". ./x.env\r\n"),
        ". /srv/app/x.env\r",
        "a shell takes the letter as a part of the name"
    );
}

#[test]
fn a_set_variable_is_told_with_what_programs_get() {
    for (text, wanted) in [
        ("A=b", "A=b"),
        ("A=b x", "export A=b"),
        ("A=b x; y", "? export A=b"),
        ("A=b B='c d' exec x", "export A=b | export B=c d"),
        ("export A=b", "export A=b"),
        ("A=b; export A", "export A=b"),
        ("export A; A=b", "export A=b"),
        ("declare -x A=b", "export A=b"),
        ("readonly A=b", "A=b"),
        ("set -a; A=b; set +a; C=d", "export A=b | C=d"),
        ("set -o allexport; A=b", "export A=b"),
        ("set -euo pipefail; A=b", "A=b"),
        ("set -eua; A=b", "export A=b"),
        ("if x; then set -a; fi; A=b", "? export A=b"),
        ("if x; then export A; fi; A=b", "? export A=b"),
        ("export A=b; export -n A; export A", "export A=b"),
        ("export \"A=b c\"", "export A=b c"),
        ("export A='b'\\''c'\"d\\\"\\x\"\\e", "export A=b'cd\"\\xe"),
        ("A=b; C=$A-${A}; D=\"$A c\"", "A=b | C=b-b | D=b c"),
        ("export A=b; unset A", ""),
        (". ./e; unset A", ". /srv/app/e | hidden A"),
        ("export A=b; if x; then unset A; fi", "? export A=b"),
        ("export A=b; (export A=c); x", "export A=b | ? export A=c"),
        ("env -u X A=b x", "hidden X | export A=b"),
        ("A=~/x", "A=/home/u/x"),
        ("export A=a#b #c", "export A=a#b"),
        ("D=a; bash -c '. ./$D'", "D=a | hidden"),
        ("export D=a; bash -c '. ./$D'", "export D=a | . /srv/app/a"),
    ] {
        assert_eq!(sentence(text), wanted, "{text}");
    }
}

#[test]
fn what_a_text_does_not_show_is_hidden() {
    all_tell(
        "hidden",
        &[
            "source <(x)",
            ". $(x)",
            ". ./*.env",
            ". $FILE",
            ". /dev/stdin",
            "eval \"$(x)\"",
            "export \"$LINE\"",
            "export $(jq -r . x.json)",
            "sudo -i x",
            "su - app -c x",
            "direnv exec . x",
            "op run -- x",
            "doppler run -- x",
            "aws-vault exec a -- x",
            "chamber exec a -- x",
            "infisical run -- x",
            "sops exec-env a x",
            "dotenv run x",
            "dotenv -f .env run x",
            "dotenvx run -- x",
            "vault agent",
            "/usr/bin/sudo x",
            "source_up",
            "bash -lc x",
            "env -i x",
            "cd $X; . ./.env",
            "cd -; . ./.env",
            "bash -c \"$X\"",
            "xargs env x",
            "cd() { :; }; cd sub; . ./.env",
            "A=\"open",
            "echo 'open",
            "(x",
            "fi",
        ],
    );
    all_tell(
        "hidden A",
        &[
            "A=$(x)",
            "A=$OTHER",
            "A+=x",
            "read -r A",
            "mapfile -t A",
            "printf -v A x",
            "A=(1 2)",
            "A=$((1+1))",
            "A=x$1",
            ": ${A:=b}",
            "unset A",
            "for A in x y; do z; done",
        ],
    );
    assert_eq!(sentence("A=1; ((A++))"), "A=1 | hidden A");
    assert_eq!(sentence("op read x; direnv allow"), "", "these set nothing");
}

#[test]
fn a_file_whose_words_or_lines_a_program_takes_is_told() {
    all_tell(
        ". /srv/app/.env",
        &[
            "env $(cat .env | xargs) x",
            "env $(grep -v '^#' .env | xargs) x",
            "export $(grep -v '^#' .env | xargs -d '\\n')",
            "export $(xargs < .env)",
            "env $(<.env) x",
            "export `cat .env`",
            "export \"$(cat .env)\"",
            "export $(grep -E '^[A-Z]' .env | sed 's/#.*//' | tr -d '\\r')",
            "export $(sed -e 's/#.*//' -e '/^$/d' .env)",
            "xargs env x <.env",
            "exec env $(cat ./.env) nohup x",
        ],
    );
    all_tell(
        ". /srv/app/.env",
        &[
            "docker run --env-file .env x",
            "docker run --env-file=.env x",
            "node --env-file-if-exists=.env x",
            "exec node \"--env-file=$PWD/.env\" x",
            "uvicorn x --env-file '.env' --reload",
            "dotenv",
            "dotenv .env",
            "dotenv_if_exists",
        ],
    );
    assert_eq!(sentence("export $(grep KEY .env)"), "? . /srv/app/.env", "only some of its lines");
    assert_eq!(sentence("source_env ../a/; source_env_if_exists x"), ". /srv/app/../a/.envrc | . /srv/app/x");
}

#[test]
fn a_line_is_counted_over_documents_quotes_and_continuations() {
    let around = Around { folder: Path::new("/"), script: None, home: None };
    let text = "#!/bin/sh\nA='1\n2'\ncat <<E\nx\nE\nx \\\n  y\nB=3\n";
    let lines = steps(text, &around).into_iter().filter_map(|step| match step {
        Step::Sets { line, .. } | Step::Hidden { line, .. } => Some(line),
        Step::Reads { .. } => None,
    });
    assert_eq!(lines.collect::<Vec<_>>(), [2, 9]);
    assert!(matches!(steps(". $0.env", &around).as_slice(), [Step::Hidden { why, .. }] if !why.is_empty()));
}

#[test]
fn a_hostile_text_ends_within_its_limits() {
    let around = Around { folder: Path::new("/"), script: None, home: None };
    let of = |text: &str| steps(text, &around);
    assert!(matches!(of(&"x".repeat(TEXT_BYTES_MAX + 1)).as_slice(), [Step::Hidden { .. }]));
    assert_eq!(of(&"A=1\n".repeat(2 * STEPS_MAX)).len(), STEPS_MAX);
    for part in [
        "(",
        "((",
        "$(",
        "\"$(",
        "`",
        "${",
        "{ ",
        "if ",
        "case x in ",
        "f() { ",
        "a && ",
        "x | ",
        "<<E ",
        "<(",
        "bash -c '",
        "bash -c \"bash -c ",
        "env ",
        "[[ ",
        "\\",
        "'",
        "A=$A$A\n",
        "cd $A;",
        "export A B ",
        "A=1;cd $A;",
        "unset A;",
        "é$",
        "\r\n",
        "(unset A);",
        "--env-file ",
        ")",
        "}",
        "fi;",
        ";; ",
    ] {
        let text = part.repeat(TEXT_BYTES_MAX / part.len());
        assert!(of(&text).len() <= STEPS_MAX, "{part}");
    }
    let mut doubling = "A=0123456789\n".to_owned();
    doubling.push_str(&"A=$A$A\n".repeat(40));
    let grown = of(&doubling).into_iter().filter_map(|step| match step {
        Step::Sets { value, .. } => Some(value.len()),
        Step::Reads { .. } | Step::Hidden { .. } => None,
    });
    assert!(grown.max().is_some_and(|most| most <= 16 << 10));
}
