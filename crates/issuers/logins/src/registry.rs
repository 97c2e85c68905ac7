use crate::declaration::LoginServer;
use crate::{mariadb, postgres, rabbitmq, redis};

/// Every kind of server on which two logins take turns. A new kind needs its own file or folder, and its name here.
pub static SERVERS: [&LoginServer; 4] =
    [&postgres::SERVER, &redis::SERVER, &mariadb::SERVER, &rabbitmq::SERVER];

/// The server with this word.
pub fn login_server(word: &str) -> Option<&'static LoginServer> {
    SERVERS.iter().copied().find(|server| server.word == word)
}
