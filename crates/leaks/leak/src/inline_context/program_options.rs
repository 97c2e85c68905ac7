/// How a program takes a password on its command line, according to its manual.
pub(crate) struct ProgramOptions {
    /// Names of programs with the same options.
    pub(crate) programs: &'static [&'static str],
    /// A word that must follow the name.
    pub(crate) verb: Option<&'static str>,
    pub(crate) place: PasswordPosition,
    /// The separator of user name and password.
    pub(crate) sign: Option<u8>,
}

pub(crate) enum PasswordPosition {
    /// In the same word as one of these options: `-pvalue`.
    Joined(&'static [&'static str]),
    /// In the next word: `-p value`.
    Next(&'static [&'static str]),
    /// The word at this distance from the name or verb: `login value`.
    Word(usize),
    /// Any word with the separator: `user/value`.
    Signed,
}

impl ProgramOptions {
    const fn joined(programs: &'static [&'static str], letters: &'static [&'static str]) -> Self {
        Self { programs, verb: None, place: PasswordPosition::Joined(letters), sign: None }
    }

    const fn next(programs: &'static [&'static str], letters: &'static [&'static str]) -> Self {
        Self { programs, verb: None, place: PasswordPosition::Next(letters), sign: None }
    }

    const fn login(programs: &'static [&'static str], letters: &'static [&'static str], sign: u8) -> Self {
        Self { programs, verb: None, place: PasswordPosition::Next(letters), sign: Some(sign) }
    }

    const fn word(programs: &'static [&'static str], verb: &'static str, number: usize) -> Self {
        Self { programs, verb: Some(verb), place: PasswordPosition::Word(number), sign: None }
    }

    /// Whether the password needs no option.
    const fn is_plain(&self) -> bool {
        matches!(self.place, PasswordPosition::Word(_) | PasswordPosition::Signed)
    }
}

/// The options of curl, which in a long command are on lines of their own.
pub(crate) const OF_CURL: ProgramOptions = ProgramOptions::login(&["curl"], &["-u", "--user"], b':');

/// Programs of Net-SNMP: `-c` is a community of versions 1 and 2c, the others are passwords of version 3. Source:
/// snmpcmd(1).
const SNMP: [&str; 13] = [
    "snmpget",
    "snmpgetnext",
    "snmpwalk",
    "snmpbulkget",
    "snmpbulkwalk",
    "snmpset",
    "snmptable",
    "snmptrap",
    "snmpinform",
    "snmpstatus",
    "snmpdf",
    "snmpdelta",
    "snmptest",
];

pub(crate) const PROGRAMS: [ProgramOptions; 32] = [
    ProgramOptions::joined(
        &["mysql", "mysqldump", "mysqladmin", "mysqlimport", "mariadb", "mariadb-dump"],
        &["-p"],
    ),
    ProgramOptions::joined(&["7z", "7za", "7zr", "rar", "unrar"], &["-p", "-hp"]),
    ProgramOptions::joined(&["xfreerdp", "xfreerdp3", "wlfreerdp"], &["/p:"]),
    ProgramOptions::joined(&["sshpass"], &["-p"]),
    ProgramOptions::next(&["sshpass", "cqlsh", "psexec", "psexec64"], &["-p"]),
    ProgramOptions::next(
        &["mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "mongoimport"],
        &["-p"],
    ),
    ProgramOptions::next(&["redis-cli", "valkey-cli"], &["-a"]),
    ProgramOptions::next(&["ldapsearch", "ldapmodify", "ldapadd", "ldapdelete", "ldapwhoami"], &["-w"]),
    ProgramOptions::next(&["openssl"], &["-k"]),
    ProgramOptions::next(&["sqlcmd", "bcp", "isql", "tsql"], &["-P"]),
    ProgramOptions::next(&["zip", "unzip"], &["-P"]),
    ProgramOptions::next(&["ipmitool", "mosquitto_pub", "mosquitto_sub"], &["-P"]),
    ProgramOptions::next(&["plink", "pscp", "psftp"], &["-pw"]),
    ProgramOptions::next(&SNMP, &["-c", "-A", "-X"]),
    ProgramOptions::next(&["check_snmp"], &["-C", "-A", "-X"]),
    ProgramOptions::next(
        &["keytool", "jarsigner"],
        &["-storepass", "-keypass", "-srcstorepass", "-deststorepass"],
    ),
    ProgramOptions::next(&["ssh-keygen"], &["-N", "-P"]),
    ProgramOptions { verb: Some("login"), ..ProgramOptions::joined(&["docker", "podman"], &["-p"]) },
    ProgramOptions {
        verb: Some("login"),
        ..ProgramOptions::next(&["docker", "podman", "helm", "az", "oc"], &["-p"])
    },
    OF_CURL,
    ProgramOptions { sign: Some(b':'), ..ProgramOptions::joined(&["curl"], &["-u"]) },
    ProgramOptions::login(&["http", "https", "xh"], &["-a", "--auth"], b':'),
    ProgramOptions::login(&["etcdctl"], &["--user"], b':'),
    ProgramOptions::login(&["smbclient", "rpcclient"], &["-U", "--user"], b'%'),
    ProgramOptions::login(&["lftp"], &["-u", "--user"], b','),
    ProgramOptions {
        programs: &["sqlplus", "expdp", "impdp"],
        verb: None,
        place: PasswordPosition::Signed,
        sign: Some(b'/'),
    },
    ProgramOptions::word(&["rabbitmqctl"], "add_user", 2),
    ProgramOptions::word(&["rabbitmqctl"], "change_password", 2),
    ProgramOptions::word(&["vault", "bao"], "login", 1),
    ProgramOptions::word(&["mc"], "set", 4),
    ProgramOptions::word(&["aws"], "aws_secret_access_key", 1),
    ProgramOptions::word(&["aws"], "aws_session_token", 1),
];

/// For each first letter of a program: the lengths of its names, as bits. Of a line every word is compared with all
/// names, and nearly all words are none.
static LENGTHS: [u32; 256] = lengths(false);

/// Does the same for programs that take a password without an option.
static PLAIN_LENGTHS: [u32; 256] = lengths(true);

#[expect(clippy::indexing_slicing, reason = "computed when this is compiled: a bad index fails the build")]
const fn lengths(plain: bool) -> [u32; 256] {
    let mut lengths = [0; 256];
    let mut at = 0;
    while at < PROGRAMS.len() {
        let mut name = 0;
        while name < PROGRAMS[at].programs.len() && (!plain || PROGRAMS[at].is_plain()) {
            let letters = PROGRAMS[at].programs[name].as_bytes();
            lengths[letters[0] as usize] |= 1 << letters.len();
            name += 1;
        }
        at += 1;
    }
    lengths
}

/// Whether a word is the name of a program, or of one that takes a password without an option.
pub(crate) fn names_a_program(word: &[u8], plain: bool) -> bool {
    let lengths = if plain { &PLAIN_LENGTHS } else { &LENGTHS };
    let of_first =
        word.first().and_then(|first| lengths.get(usize::from(*first))).copied().unwrap_or_default();
    let length =
        u32::try_from(word.len()).ok().and_then(|length| 1_u32.checked_shl(length)).unwrap_or_default();
    of_first & length != 0
        && PROGRAMS
            .iter()
            .filter(|takes| !plain || takes.is_plain())
            .any(|takes| takes.programs.iter().any(|one| one.as_bytes() == word))
}

/// Programs that read a password from a pipe, by their words, and whether a user name and a colon precede it.
pub(crate) const PIPED: [(&[&str], bool); 5] = [
    (&["chpasswd"], true),
    (&["--password-stdin"], false),
    (&["passwd", "--stdin"], false),
    (&["sudo", "-S"], false),
    (&["--with-token"], false),
];
