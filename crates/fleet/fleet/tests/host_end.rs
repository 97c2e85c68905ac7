//! The other end of links in memory: it answers orders as a test says, and keeps what it heard.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_fleet::{Dial, Dialled, Remote};
use keyroll_link::{
    Call, Context, End, Frame, Hello, HostHello, HostKey, IssuerForm, Item, Link, OpenOrder, Order,
    OwnedValues, PlannedForm, Reply, Sealed, SearchForm, VERSION, decode, encode,
};
use keyroll_port::{Class, Clock, Failure, Sleep};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::Notify;

const PATIENCE: Duration = Duration::from_secs(60);

/// What a host does with an order.
pub(crate) enum Does {
    Replies(Reply),
    /// Its program ends.
    Ends,
    /// It replies once the test lets it.
    Waits(Arc<Notify>, Reply),
}

/// A connection that can be made.
pub(crate) struct HostEnd {
    machine: &'static str,
    answers: Box<dyn FnMut(&Order) -> Does + Send>,
}

impl HostEnd {
    /// A machine that opens each rotation, and does this with every other order.
    pub(crate) fn that(mut does: impl FnMut(&Order) -> Does + Send + 'static) -> Self {
        let answers = move |order: &Order| match order {
            Order::Open(_) => Does::Replies(Reply::Opened { files: Vec::new() }),
            _ => does(order),
        };
        Self::that_also_opens(answers)
    }

    /// The same of a machine that does this with the opening order too.
    pub(crate) fn that_also_opens(answers: impl FnMut(&Order) -> Does + Send + 'static) -> Self {
        Self { machine: "9f3c21", answers: Box::new(answers) }
    }

    pub(crate) fn of(self, machine: &'static str) -> Self {
        Self { machine, ..self }
    }
}

/// What the machine heard.
#[derive(Default, Clone)]
struct Heard {
    /// Each order with the number of its connection.
    orders: Arc<Mutex<Vec<(usize, Order)>>>,
    /// When each was sent.
    sent_ms: Arc<Mutex<Vec<u64>>>,
    /// Every byte.
    bytes: Arc<Mutex<Vec<u8>>>,
    /// An order came.
    came: Arc<Notify>,
}

/// The connections to one machine. When there is no further one, it cannot be reached.
#[derive(Default)]
pub(crate) struct Ends {
    /// How often it cannot be reached before the first one.
    down: AtomicUsize,
    ends: Mutex<VecDeque<HostEnd>>,
    keys: Mutex<Vec<HostKey>>,
    heard: Heard,
    dialled: AtomicUsize,
    ended: Arc<AtomicUsize>,
}

impl Ends {
    pub(crate) fn new(ends: impl IntoIterator<Item = HostEnd>) -> Arc<Self> {
        Arc::new(Self { ends: Mutex::new(ends.into_iter().collect()), ..Self::default() })
    }

    /// The same of a machine that cannot be reached so often before.
    pub(crate) fn after(down: usize, ends: impl IntoIterator<Item = HostEnd>) -> Arc<Self> {
        let ends = Mutex::new(ends.into_iter().collect());
        Arc::new(Self { down: AtomicUsize::new(down), ends, ..Self::default() })
    }

    /// The words of the orders that were heard, with the number of their connection.
    pub(crate) fn words(&self) -> Vec<(usize, &'static str)> {
        self.heard.orders.lock().unwrap().iter().map(|(number, order)| (*number, order.kind())).collect()
    }

    pub(crate) fn orders(&self) -> Vec<Order> {
        self.heard.orders.lock().unwrap().iter().map(|(_, order)| order.clone()).collect()
    }

    /// When each order was sent, by the driver's clock.
    pub(crate) fn sent_ms(&self) -> Vec<u64> {
        self.heard.sent_ms.lock().unwrap().clone()
    }

    pub(crate) fn opened(&self) -> Vec<OpenOrder> {
        let opened = |order| if let Order::Open(open) = order { Some(*open) } else { None };
        self.orders().into_iter().filter_map(opened).collect()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.heard.bytes.lock().unwrap().clone()
    }

    pub(crate) fn dialled(&self) -> usize {
        self.dialled.load(Ordering::SeqCst)
    }

    /// How many connections were ended on this side.
    pub(crate) fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    pub(crate) async fn order_comes(&self) {
        self.heard.came.notified().await;
    }

    /// Opens values as the host of this connection does.
    pub(crate) fn opens(&self, connection: usize, order: &Order, sealed: &Sealed) -> OwnedValues {
        let open = self.opened()[connection].clone();
        let context = Context {
            installation: &open.installation,
            host: "9f3c21",
            secret: &open.secret,
            rotation: &open.rotation,
            epoch: open.epoch,
            turn: open.turn,
            order: order.kind(),
            intent: order.intent(),
        };
        self.keys.lock().unwrap()[connection].open(sealed, &context).unwrap()
    }
}

/// Counts that it was dropped.
struct Keeps(Arc<AtomicUsize>);

impl Drop for Keeps {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Dial for Ends {
    async fn dial(&self) -> Result<Dialled, Failure> {
        let number = self.dialled.fetch_add(1, Ordering::SeqCst);
        let down = self.down.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let end = if down.is_ok() { None } else { self.ends.lock().unwrap().pop_front() };
        // A class that no dial should give: nothing was ordered.
        let unreached = || Failure::new(Class::Unknown, Code::HostUnreachable, "reach web-2");
        let HostEnd { machine, answers } = end.ok_or_else(unreached)?;
        let key = HostKey::new().unwrap();
        let hello = HostHello {
            version: VERSION,
            keyroll: "0.1.0".to_owned(),
            machine: Some(machine.to_owned()),
            hardware: None,
            boot: String::new(),
            now_unix_ms: 0,
            root: true,
            user: "root".to_owned(),
            seal: key.public(),
        };
        self.keys.lock().unwrap().push(key);
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        tokio::spawn(serve(theirs, hello, answers, number, self.heard.clone()));
        let (read, write) = tokio::io::split(ours);
        let (link, hello) = Link::open(read, write, &[1; 32], PATIENCE).await.unwrap();
        Ok(Dialled { link, hello, keeps: Box::new(Keeps(Arc::clone(&self.ended))) })
    }
}

async fn serve(
    mut io: DuplexStream,
    hello: HostHello,
    mut answers: Box<dyn FnMut(&Order) -> Does + Send>,
    number: usize,
    heard: Heard,
) {
    while let Some(frame) = read(&mut io, &heard).await {
        let answer = match frame {
            Frame::Hello(_) => Frame::Hello(Hello::Host(hello.clone())),
            Frame::Call { id, call: Call::Order { sent_ms, order } } => {
                let does = answers(&order);
                heard.sent_ms.lock().unwrap().push(sent_ms);
                heard.orders.lock().unwrap().push((number, *order));
                heard.came.notify_one();
                let reply = match does {
                    Does::Replies(reply) => reply,
                    Does::Ends => return,
                    Does::Waits(gate, reply) => {
                        gate.notified().await;
                        reply
                    }
                };
                Frame::Answer { id, items: vec![Item::Reply(Box::new(reply))], end: Some(End::Done) }
            }
            other => panic!("{other:?}"),
        };
        if io.write_all(&encode(&answer).unwrap()).await.is_err() {
            return;
        }
    }
}

async fn read(io: &mut DuplexStream, heard: &Heard) -> Option<Frame> {
    let length = io.read_u32().await.ok()?;
    let mut body = vec![0; usize::try_from(length).unwrap()];
    io.read_exact(&mut body).await.ok()?;
    heard.bytes.lock().unwrap().extend_from_slice(&body);
    Some(decode(&body).unwrap())
}

/// A clock that stands at 1,000 ms.
struct Standing;

impl Clock for Standing {
    fn monotonic_ms(&self) -> u64 {
        1_000
    }

    fn boot(&self) -> u64 {
        0
    }

    fn unix_ms(&self) -> u64 {
        0
    }

    fn sleep_until(&self, _: u64) -> Sleep {
        Box::pin(async {})
    }
}

/// The rotation that a connection is for. The last connection had turn 4.
pub(crate) fn open(planned: PlannedForm) -> OpenOrder {
    OpenOrder {
        installation: "0f".repeat(16),
        secret: "acme".to_owned(),
        rotation: "17ab".to_owned(),
        epoch: 3,
        driver: "1e".repeat(16),
        before: Vec::new(),
        turn: 4,
        changes: true,
        config: "version = 1\n".to_owned(),
        folder: "/srv".to_owned(),
        issuer: IssuerForm {
            attributes: false,
            alphabet: b"abc".to_vec(),
            length_max: 64,
            endpoints: Vec::new(),
        },
        search: SearchForm { memory_bytes_max: 1 << 26, time_ms_max: 10_000 },
        folders: Vec::new(),
        digests: "0f".repeat(32),
        planned,
        reads_required: false,
    }
}

/// web-2, at the other end of these connections.
pub(crate) fn remote(ends: &Arc<Ends>, planned: PlannedForm) -> Remote {
    Remote::new("web-2".to_owned(), ends.clone(), open(planned), Arc::new(Standing))
}
