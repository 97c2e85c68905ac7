use std::thread;

use tokio::runtime::Builder;
use tokio_postgres::{Config, NoTls};
use zeroize::Zeroizing;

use crate::{Postgres, scram_verifier};

impl Postgres {
    /// A way for another party to change the password of a login (login, new password); it says whether it could. The
    /// server and its log see a verifier, as with Vault's `password_authentication = "scram-sha-256"`.
    /// Source: <https://developer.hashicorp.com/vault/api-docs/secret/databases/postgresql>.
    ///
    /// It waits for the server; a test may call it in an asynchronous function.
    pub fn password_changes(&self) -> impl Fn(&str, &str) -> bool + Send + Sync + use<> + 'static {
        let mut config = Config::new();
        config.host(self.host()).port(self.port()).user(self.superuser());
        config.password(self.password()).dbname("postgres");
        move |login: &str, password: &str| {
            let (name, verifier) = (login.replace('"', "\"\""), scram_verifier(password));
            let statement = Zeroizing::new(format!("ALTER ROLE \"{name}\" WITH PASSWORD '{verifier}'"));
            let config = config.clone();
            // A thread of its own: the caller's may be one of a runtime, which cannot wait for another.
            let changed = thread::spawn(move || changes(&config, &statement));
            changed.join().unwrap_or(false)
        }
    }
}

fn changes(config: &Config, statement: &str) -> bool {
    let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return false };
    runtime.block_on(async {
        let Ok((client, connection)) = config.connect(NoTls).await else { return false };
        tokio::spawn(connection);
        client.batch_execute(statement).await.is_ok()
    })
}
