use std::error::Error;
use std::str::FromStr;
use std::time::Duration;

use amqprs::BasicProperties;
use amqprs::channel::{BasicGetArguments, BasicPublishArguments, Channel};
use amqprs::connection::{Connection as AmqpConnection, OpenConnectionArguments};
use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use redis::aio::MultiplexedConnection;
use tokio_postgres::{Client, Config, NoTls};

use super::acme::Acme;
use super::web::Web;

/// What went wrong at a server, as its client tells it.
pub type Refusal = Box<dyn Error + Send + Sync>;

/// How long a login may take, milliseconds.
pub(super) const CONNECT_MS_MAX: u64 = 10_000;

/// A server that a service keeps connections to.
#[async_trait]
pub(super) trait Backend: Send + Sync {
    /// Who logs in.
    fn user(&self) -> String;

    /// One more connection.
    async fn log_in(&self) -> Result<Box<dyn Connection>, Refusal>;
}

/// One connection of a pool.
#[async_trait]
pub(super) trait Connection: Send {
    /// Whether it is known to be gone.
    fn is_closed(&self) -> bool;

    /// One small request; who the server says that we are.
    async fn ask(&mut self) -> Result<String, Refusal>;
}

/// One login with this URL, as any client would make it.
///
/// # Errors
/// What the server said.
pub async fn log_in(url: &str) -> Result<(), Refusal> {
    backend(url)?.log_in().await?.ask().await.map(drop)
}

/// The server of a URL: `postgres://`, `redis://`, `mysql://`, `amqp://`, an API's `web:`, or `acme://NAME:KEY@HOST:PORT` for
/// the issuer of this crate.
pub(super) fn backend(url: &str) -> Result<Box<dyn Backend>, Refusal> {
    let scheme = url.split(':').next().unwrap_or_default();
    match scheme {
        "postgres" => {
            let mut config = Config::from_str(url)?;
            config.connect_timeout(Duration::from_millis(CONNECT_MS_MAX));
            Ok(Box::new(Postgres(config)))
        }
        "mysql" => {
            let options = OptsBuilder::from_opts(Opts::from_url(url)?).prefer_socket(false);
            Ok(Box::new(MariaDb(options.into())))
        }
        "amqp" => {
            RabbitMq::read(url).map(|server| Box::new(server) as Box<dyn Backend>).ok_or("no AMQP URL".into())
        }
        "redis" => Ok(Box::new(Redis(redis::Client::open(url)?))),
        "web" => Web::read(url).map_or_else(
            || Err("an API's URL is not whole".into()),
            |web| Ok::<Box<dyn Backend>, _>(Box::new(web)),
        ),
        "acme" => Ok(Box::new(Acme::of(url).ok_or("it is no acme://NAME:KEY@HOST:PORT")?)),
        _ => Err("no server is known by this URL".into()),
    }
}

struct Postgres(Config);

#[async_trait]
impl Backend for Postgres {
    fn user(&self) -> String {
        self.0.get_user().unwrap_or_default().to_owned()
    }

    async fn log_in(&self) -> Result<Box<dyn Connection>, Refusal> {
        let said = |error: tokio_postgres::Error| match error.as_db_error() {
            Some(said) => Refusal::from(format!("{}: {}", said.code().code(), said.message())),
            None => error.into(),
        };
        let (client, connection) = self.0.connect(NoTls).await.map_err(said)?;
        tokio::spawn(connection);
        Ok(Box::new(client))
    }
}

#[async_trait]
impl Connection for Client {
    fn is_closed(&self) -> bool {
        Client::is_closed(self)
    }

    async fn ask(&mut self) -> Result<String, Refusal> {
        let row = self.query_one("SELECT session_user::text || ' ' || current_user::text", &[]).await?;
        Ok(row.try_get(0)?)
    }
}

struct Redis(redis::Client);

/// A connection, and whether it has failed: this client does not tell before it is used.
struct RedisConnection(MultiplexedConnection, bool);

#[async_trait]
impl Backend for Redis {
    fn user(&self) -> String {
        self.0.get_connection_info().redis_settings().username().unwrap_or_default().to_owned()
    }

    async fn log_in(&self) -> Result<Box<dyn Connection>, Refusal> {
        let limit = Duration::from_millis(CONNECT_MS_MAX);
        let settings = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limit))
            .set_response_timeout(Some(limit));
        let connection = self.0.get_multiplexed_async_connection_with_config(&settings).await?;
        Ok(Box::new(RedisConnection(connection, false)))
    }
}

#[async_trait]
impl Connection for RedisConnection {
    fn is_closed(&self) -> bool {
        self.1
    }

    async fn ask(&mut self) -> Result<String, Refusal> {
        let mut pipe = redis::pipe();
        pipe.cmd("INCR").arg("orders:requests").ignore().cmd("GET").arg("orders:requests");
        let answer: Result<Vec<String>, _> = pipe.query_async(&mut self.0).await;
        self.1 = answer.is_err();
        Ok(answer?.concat())
    }
}

struct MariaDb(Opts);

/// A connection, and whether it has failed: this client does not tell before it is used.
struct MariaDbConnection(Conn, bool);

#[async_trait]
impl Backend for MariaDb {
    fn user(&self) -> String {
        self.0.user().unwrap_or_default().to_owned()
    }

    async fn log_in(&self) -> Result<Box<dyn Connection>, Refusal> {
        let connecting = Conn::new(self.0.clone());
        let connection = tokio::time::timeout(Duration::from_millis(CONNECT_MS_MAX), connecting).await??;
        Ok(Box::new(MariaDbConnection(connection, false)))
    }
}

#[async_trait]
impl Connection for MariaDbConnection {
    fn is_closed(&self) -> bool {
        self.1
    }

    async fn ask(&mut self) -> Result<String, Refusal> {
        let said =
            self.0.query_first("SELECT CONCAT(USER(), ' ', (SELECT COUNT(*) FROM shop.requests))").await;
        self.1 = said.is_err();
        said?.ok_or_else(|| "no row".into())
    }
}

/// The queue that every worker sends to and reads from.
const QUEUE: &str = "requests";

struct RabbitMq {
    host: String,
    port: u16,
    user: String,
    password: String,
}

impl RabbitMq {
    /// `amqp://user:password@host:port/%2F`, with letters and digits for the two.
    fn read(url: &str) -> Option<Self> {
        let (login, place) = url.strip_prefix("amqp://")?.split_once('@')?;
        let (user, password) = login.split_once(':')?;
        let (host, port) = place.strip_suffix("/%2F")?.split_once(':')?;
        let [user, password, host] = [user, password, host].map(str::to_owned);
        Some(Self { host, port: port.parse().ok()?, user, password })
    }
}

/// A connection with its channel.
struct RabbitMqConnection {
    user: String,
    channel: Channel,
    connection: AmqpConnection,
    failed: bool,
}

#[async_trait]
impl Backend for RabbitMq {
    fn user(&self) -> String {
        self.user.clone()
    }

    async fn log_in(&self) -> Result<Box<dyn Connection>, Refusal> {
        let arguments = OpenConnectionArguments::new(&self.host, self.port, &self.user, &self.password);
        let opening = AmqpConnection::open(&arguments);
        let connection = tokio::time::timeout(Duration::from_millis(CONNECT_MS_MAX), opening).await??;
        let channel = connection.open_channel(None).await?;
        let user = self.user.clone();
        Ok(Box::new(RabbitMqConnection { user, channel, connection, failed: false }))
    }
}

#[async_trait]
impl Connection for RabbitMqConnection {
    fn is_closed(&self) -> bool {
        self.failed || !self.connection.is_open() || !self.channel.is_open()
    }

    /// A message is sent, and one is read: there is always one, because everybody sends before reading.
    async fn ask(&mut self) -> Result<String, Refusal> {
        let to = BasicPublishArguments::new("", QUEUE);
        let message = self.user.clone().into_bytes();
        self.failed = true;
        self.channel.basic_publish(BasicProperties::default(), message, to).await?;
        let from = BasicGetArguments::new(QUEUE).no_ack(true).finish();
        let got = self.channel.basic_get(from).await?;
        self.failed = false;
        let (_, _, content) = got.ok_or("the queue is empty")?;
        Ok(String::from_utf8(content)?)
    }
}
