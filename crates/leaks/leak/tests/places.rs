//! Values that only their position in a line of a server's settings or in a command reveals.

use keyroll_leak::{Rules, TextKind, in_anything};

fn found(text: &str, within: TextKind) -> Vec<&str> {
    let all = in_anything(text.as_bytes(), Rules::shipped().unwrap()).into_iter();
    all.filter(|one| one.is_likely(text.as_bytes(), within)).map(|one| &text[one.span]).collect()
}

#[test]
fn a_password_is_found_by_its_place_in_any_text() {
    for text in [
        "# Secrets for authentication using PAP\n# client\tserver\tsecret\nbob\t*\tkD93hfQ0plm4\t*\n",
        "cat > /etc/ppp/chap-secrets <<EOF\nbob l2tpd kD93hfQ0plm4 10.0.0.2\nEOF\n",
        "smtp.mail.host:587 bob@mail.host:kD93hfQ0plm4\n",
        "[mail.host]:465\tbob:kD93hfQ0plm4\n",
        "smtp.mail.host bob:kD93hfQ0plm4\n",
        "net use Z: \\\\nas\\share /user:CORP\\bob kD93hfQ0plm4\n",
        "  net use \\\\nas\\share kD93hfQ0plm4 /user:bob\n",
        "rocommunity kD93hfQ0plm4 10.0.0.0/8\n",
        "com2sec ro default kD93hfQ0plm4\n",
        "trapsink 10.0.0.9 kD93hfQ0plm4\n",
        "createUser bob SHA kD93hfQ0plm4 AES\n",
        "snmpwalk -v2c -c kD93hfQ0plm4 h 1.3.6\n",
        "snmpget -v3 -u bob -l authPriv -a SHA -x AES -X kD93hfQ0plm4 h 1.3.6\n",
    ] {
        assert_eq!(found(text, TextKind::Program), ["kD93hfQ0plm4"], "{text}");
        assert_eq!(found(text, TextKind::Settings), ["kD93hfQ0plm4"], "{text}");
    }
}

#[test]
fn what_everybody_knows_and_what_only_looks_alike_is_none() {
    for text in [
        "rocommunity public default\nrwcommunity private\ncom2sec ro default mypublic\n",
        "snmpwalk -v2c -c public h | cut -c 10-20\n",
        "snmpwalk -v2c -c \"$COMMUNITY\" h\n",
        "net use Z: \\\\nas\\share /user:bob *\nnet use Z: \\\\nas\\share %PASSWORD% /user:bob\n",
        "smtp.mail.host:587 open:tcp\nsmtp.mail.host:587 connect:established\n",
        "cp one two kD93hfQ0plm4\nchmod * one kD93hfQ0plm4 # of chap-secrets\n",
        "void createUser (string sha, String kD93hfQ0plm4)\n",
        "the community of kD93hfQ0plm4\n",
    ] {
        for within in [TextKind::Program, TextKind::Settings] {
            assert!(found(text, within).is_empty(), "{text}: {:?}", found(text, within));
        }
    }
}
