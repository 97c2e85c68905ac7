/// Where on its command line a program takes a password, as its manual says.
pub(crate) struct Takes {
    /// Names of programs that take it alike.
    pub(crate) programs: &'static [&'static str],
    /// A word that must stand behind the name.
    pub(crate) verb: Option<&'static str>,
    pub(crate) place: Place,
    /// What stands between a user's name and the password.
    pub(crate) sign: Option<u8>,
}

pub(crate) enum Place {
    /// In the same word as one of these letters: `-pvalue`.
    Joined(&'static [&'static str]),
    /// In the next word: `-p value`.
    Next(&'static [&'static str]),
    /// The word so far behind the name or the verb: `login value`.
    Word(usize),
    /// Any word that has the sign: `user/value`.
    Signed,
}

impl Takes {
    const fn joined(programs: &'static [&'static str], letters: &'static [&'static str]) -> Self {
        Self { programs, verb: None, place: Place::Joined(letters), sign: None }
    }

    const fn next(programs: &'static [&'static str], letters: &'static [&'static str]) -> Self {
        Self { programs, verb: None, place: Place::Next(letters), sign: None }
    }

    const fn login(programs: &'static [&'static str], letters: &'static [&'static str], sign: u8) -> Self {
        Self { programs, verb: None, place: Place::Next(letters), sign: Some(sign) }
    }

    const fn word(programs: &'static [&'static str], verb: &'static str, number: usize) -> Self {
        Self { programs, verb: Some(verb), place: Place::Word(number), sign: None }
    }
}

/// The options that curl has, which in a long command stand in lines of their own.
pub(crate) const OF_CURL: Takes = Takes::login(&["curl"], &["-u", "--user"], b':');

/// Programs of Net-SNMP: `-c` is a community of versions 1 and 2c, the others are passwords of version 3. Source: snmpcmd(1).
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

pub(crate) const TAKES: [Takes; 32] = [
    Takes::joined(&["mysql", "mysqldump", "mysqladmin", "mysqlimport", "mariadb", "mariadb-dump"], &["-p"]),
    Takes::joined(&["7z", "7za", "7zr", "rar", "unrar"], &["-p", "-hp"]),
    Takes::joined(&["xfreerdp", "xfreerdp3", "wlfreerdp"], &["/p:"]),
    Takes::joined(&["sshpass"], &["-p"]),
    Takes::next(&["sshpass", "cqlsh", "psexec", "psexec64"], &["-p"]),
    Takes::next(&["mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "mongoimport"], &["-p"]),
    Takes::next(&["redis-cli", "valkey-cli"], &["-a"]),
    Takes::next(&["ldapsearch", "ldapmodify", "ldapadd", "ldapdelete", "ldapwhoami"], &["-w"]),
    Takes::next(&["openssl"], &["-k"]),
    Takes::next(&["sqlcmd", "bcp", "isql", "tsql"], &["-P"]),
    Takes::next(&["zip", "unzip"], &["-P"]),
    Takes::next(&["ipmitool", "mosquitto_pub", "mosquitto_sub"], &["-P"]),
    Takes::next(&["plink", "pscp", "psftp"], &["-pw"]),
    Takes::next(&SNMP, &["-c", "-A", "-X"]),
    Takes::next(&["check_snmp"], &["-C", "-A", "-X"]),
    Takes::next(&["keytool", "jarsigner"], &["-storepass", "-keypass", "-srcstorepass", "-deststorepass"]),
    Takes::next(&["ssh-keygen"], &["-N", "-P"]),
    Takes { verb: Some("login"), ..Takes::joined(&["docker", "podman"], &["-p"]) },
    Takes { verb: Some("login"), ..Takes::next(&["docker", "podman", "helm", "az", "oc"], &["-p"]) },
    OF_CURL,
    Takes { sign: Some(b':'), ..Takes::joined(&["curl"], &["-u"]) },
    Takes::login(&["http", "https", "xh"], &["-a", "--auth"], b':'),
    Takes::login(&["etcdctl"], &["--user"], b':'),
    Takes::login(&["smbclient", "rpcclient"], &["-U", "--user"], b'%'),
    Takes::login(&["lftp"], &["-u", "--user"], b','),
    Takes { programs: &["sqlplus", "expdp", "impdp"], verb: None, place: Place::Signed, sign: Some(b'/') },
    Takes::word(&["rabbitmqctl"], "add_user", 2),
    Takes::word(&["rabbitmqctl"], "change_password", 2),
    Takes::word(&["vault", "bao"], "login", 1),
    Takes::word(&["mc"], "set", 4),
    Takes::word(&["aws"], "aws_secret_access_key", 1),
    Takes::word(&["aws"], "aws_session_token", 1),
];

/// Programs that read a password from what is piped to them, by the words that say so, and whether that has the user's name and
/// a colon before it.
pub(crate) const PIPED: [(&[&str], bool); 5] = [
    (&["chpasswd"], true),
    (&["--password-stdin"], false),
    (&["passwd", "--stdin"], false),
    (&["sudo", "-S"], false),
    (&["--with-token"], false),
];
