//! What people write for a key that has another name.

/// A word, and the key that it means where that key is known.
#[derive(Debug)]
pub(crate) struct Synonym {
    /// In lower case, words joined by `_`.
    pub(crate) written: &'static str,
    pub(crate) meant: &'static str,
}

const fn of(written: &'static str, meant: &'static str) -> Synonym {
    Synonym { written, meant }
}

/// One word may mean several keys: those that are known where it stands are suggested.
pub(crate) const SYNONYMS: &[Synonym] = &[
    // The top of the file.
    of("credentials", "secrets"),
    of("keys", "secrets"),
    of("machines", "hosts"),
    // A secret.
    of("provider", "issuer"),
    of("vendor", "issuer"),
    of("type", "issuer"),
    of("type", "format"),
    of("backend", "store"),
    of("storage", "store"),
    of("source", "store"),
    of("admin_key", "admin"),
    of("admin_token", "admin"),
    of("every", "rotate_every"),
    of("interval", "rotate_every"),
    of("max_age", "rotate_every"),
    of("ttl", "rotate_every"),
    of("team", "owner"),
    of("auto", "unattended"),
    of("automatic", "unattended"),
    of("parallel", "max_parallel"),
    of("services", "consumers"),
    of("users", "consumers"),
    // Its conditions.
    of("wait", "soak"),
    of("grace", "soak"),
    of("delay", "soak"),
    of("evidence", "require"),
    of("consent", "decide"),
    of("idle_for", "old_idle_for"),
    // A consumer.
    of("run", "runs"),
    of("copies", "reads"),
    of("files", "reads"),
    of("machine", "host"),
    of("servers", "hosts"),
    of("probe", "check"),
    of("test", "check"),
    of("logs", "log"),
    // How it runs.
    of("systemd", "unit"),
    of("service_name", "unit"),
    of("units", "unit"),
    of("cmd", "restart"),
    of("command", "restart"),
    of("start", "restart"),
    of("pid", "pid_file"),
    of("exe", "process"),
    of("executable", "process"),
    of("binary", "process"),
    of("docker", "container"),
    of("health", "ready"),
    of("healthcheck", "ready"),
    of("health_check", "ready"),
    // A copy.
    of("var", "variable"),
    of("env", "env_file"),
    of("env", "variable"),
    of("env_var", "variable"),
    of("envvar", "variable"),
    of("env_name", "variable"),
    of("name", "variable"),
    of("dotenv", "env_file"),
    of("path", "file"),
    of("filename", "file"),
    of("pointer", "at"),
    of("json_path", "at"),
    of("jsonpath", "at"),
    // A check.
    of("cmd", "exec"),
    of("command", "exec"),
    of("run", "exec"),
    of("url", "http"),
    // A host.
    of("address", "connect"),
    of("ssh", "connect"),
    of("url", "connect"),
    of("uri", "connect"),
    of("dir", "folder"),
    of("directory", "folder"),
    of("path", "folder"),
    // A server of logins.
    of("hostname", "host"),
    of("server", "host"),
    of("database", "dbname"),
    of("db", "dbname"),
    of("owner", "owner_role"),
    of("role", "owner_role"),
    of("users", "slots"),
    of("logins", "slots"),
    of("username", "user"),
    // keyroll's own server.
    of("bind", "listen"),
    of("addr", "listen"),
    of("address", "listen"),
    of("port", "listen"),
];
