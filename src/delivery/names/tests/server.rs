//! A name server with configured answers over UDP and TCP.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const IPV4: u16 = 1;
const ALIAS: u16 = 5;
const IPV6: u16 = 28;
const SERVER_FAILED: u8 = 2;
const MISSING: u8 = 3;
const TRUNCATED: u8 = 2;
const LATE: &[u8] = b"\x04late\x04test";
/// Longer than a question keeps its place while others wait.
const LATE_BY: Duration = Duration::from_millis(400);
/// The root's SOA record, which allows to keep a negative answer for 4660 s.
const SOA: [u8; 33] = [
    0, 0, 6, 0, 1, 0, 0, 0x12, 0x34, 0, 22, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1,
    0, 0, 0x12, 0x34,
];

/// The configured answer for a name.
#[derive(Clone)]
pub(super) enum Says {
    /// These addresses, with a TTL.
    Addresses(Vec<IpAddr>, u32),
    /// A chain of aliases. The last of these names has the address.
    Aliases(&'static [&'static str], IpAddr),
    /// A truncated answer over UDP, and the address over TCP.
    TooLarge(IpAddr),
    /// The code `SERVFAIL`.
    Failed,
    /// Bytes that are no valid answer.
    Garbage,
}

/// A name server. Names under `hangs.test` get no answer. `slow.test` and names under `late.test` get a delayed one.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    names: Mutex<HashMap<String, Says>>,
    /// How often the IPv4 address of each name was asked for.
    asked: Mutex<HashMap<String, usize>>,
}

impl Server {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = UdpSocket::bind(address).unwrap();
        let shared = Arc::new(Shared::default());
        let server = Self { address, shared: shared.clone() };
        let by_tcp = shared.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                let Some(answer) = shared.answer(&bytes[..length], false) else { continue };
                if !answer.windows(LATE.len()).any(|part| part == LATE) {
                    socket.send_to(&answer, from).unwrap();
                    continue;
                }
                let socket = socket.try_clone().unwrap();
                std::thread::spawn(move || {
                    std::thread::sleep(LATE_BY);
                    socket.send_to(&answer, from).unwrap();
                });
            }
        });
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = by_tcp.clone();
                std::thread::spawn(move || shared.serve(stream.unwrap()));
            }
        });
        server
    }

    pub(super) fn set(&self, name: &str, address: Ipv4Addr, ttl: u32) {
        self.says(name, Says::Addresses(vec![address.into()], ttl));
    }

    pub(super) fn says(&self, name: &str, says: Says) {
        self.shared.names.lock().unwrap().insert(name.to_owned(), says);
    }

    pub(super) fn asked(&self, name: &str) -> usize {
        self.shared.asked.lock().unwrap().get(name).copied().unwrap_or(0)
    }
}

/// The answer's code, flags and records.
#[derive(Default)]
struct Answer {
    code: u8,
    flags: u8,
    count: u8,
    records: Vec<u8>,
}

impl Answer {
    /// Adds a record. `owner` is an encoded name or a pointer.
    fn add(&mut self, owner: &[u8], kind: u16, ttl: u32, data: &[u8]) {
        self.count += 1;
        self.records.extend(owner);
        self.records.extend(kind.to_be_bytes());
        self.records.extend([0, 1]);
        self.records.extend(ttl.to_be_bytes());
        self.records.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        self.records.extend(data);
    }

    fn add_address(&mut self, owner: &[u8], wanted: u16, address: IpAddr, ttl: u32) {
        match address {
            IpAddr::V4(v4) if wanted == IPV4 => self.add(owner, IPV4, ttl, &v4.octets()),
            IpAddr::V6(v6) if wanted == IPV6 => self.add(owner, IPV6, ttl, &v6.octets()),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
    }
}

fn written(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| {
        let length = u8::try_from(label.len()).unwrap();
        std::iter::once(length).chain(label.bytes())
    });
    labels.chain([0]).collect()
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        let mut length = [0; 2];
        while stream.read_exact(&mut length).is_ok() {
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut question).unwrap();
            let Some(answer) = self.answer(&question, true) else { continue };
            let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
            stream.write_all(&[&length[..], &answer].concat()).unwrap();
        }
    }

    fn answer(&self, question: &[u8], by_tcp: bool) -> Option<Vec<u8>> {
        let mut labels = Vec::new();
        let mut at = 12;
        while question[at] > 0 {
            let end = at + 1 + usize::from(question[at]);
            labels.push(String::from_utf8_lossy(&question[at + 1..end]).to_ascii_lowercase());
            at = end;
        }
        let name = labels.join(".");
        let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
        if kind == IPV4 {
            *self.asked.lock().unwrap().entry(name.clone()).or_default() += 1;
        }
        if name.ends_with("hangs.test") {
            return None;
        }
        let known = self.names.lock().unwrap().get(&name).cloned();
        if name == "slow.test" {
            std::thread::sleep(Duration::from_millis(100));
        }
        let answer = answer(known.as_ref(), kind, by_tcp);
        let mut bytes = question[..2].to_vec();
        let authorities = u8::from(answer.code == MISSING);
        bytes.extend([0x81 | answer.flags, 0x80 | answer.code]);
        bytes.extend([0, 1, 0, answer.count, 0, authorities, 0, 0]);
        bytes.extend(&question[12..at + 5]);
        bytes.extend(answer.records);
        if authorities > 0 {
            bytes.extend(SOA);
        }
        Some(bytes)
    }
}

fn answer(says: Option<&Says>, kind: u16, by_tcp: bool) -> Answer {
    let itself: &[u8] = &[0xc0, 12];
    let mut answer = Answer::default();
    match says {
        None => answer.code = MISSING,
        Some(Says::Addresses(addresses, ttl)) => {
            for address in addresses {
                answer.add_address(itself, kind, *address, *ttl);
            }
        }
        Some(Says::Aliases(aliases, address)) => {
            let mut owner = itself.to_vec();
            for alias in *aliases {
                answer.add(&owner, ALIAS, 60, &written(alias));
                owner = written(alias);
            }
            answer.add_address(&owner, kind, *address, 60);
        }
        Some(Says::TooLarge(address)) if by_tcp => answer.add_address(itself, kind, *address, 60),
        Some(Says::TooLarge(_)) => answer.flags = TRUNCATED,
        Some(Says::Failed) => answer.code = SERVER_FAILED,
        Some(Says::Garbage) => {
            answer.count = 7;
            answer.records = vec![0xff; 40];
        }
    }
    answer
}
