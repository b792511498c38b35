//! A name server that answers what it is told to.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const IPV4: u16 = 1;
const MISSING: u8 = 3;
/// The root's, by which a name that is missing may be taken as such for 4660 s.
const SOA: [u8; 33] = [
    0, 0, 6, 0, 1, 0, 0, 0x12, 0x34, 0, 22, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1,
    0, 0, 0x12, 0x34,
];

/// Names under `hangs.test` get no answer, and `slow.test` one after a while.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    names: Mutex<HashMap<String, (Ipv4Addr, u32)>>,
    /// How often it was asked for the IPv4 address of each name.
    asked: Mutex<HashMap<String, usize>>,
}

impl Server {
    pub(super) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let server = Self { address, shared: shared.clone() };
        std::thread::spawn(move || {
            let mut bytes = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                shared.answer(&socket, &bytes[..length], from);
            }
        });
        server
    }

    pub(super) fn set(&self, name: &str, address: Ipv4Addr, ttl: u32) {
        self.shared.names.lock().unwrap().insert(name.to_owned(), (address, ttl));
    }

    pub(super) fn asked(&self, name: &str) -> usize {
        self.shared.asked.lock().unwrap().get(name).copied().unwrap_or(0)
    }
}

impl Shared {
    fn answer(&self, socket: &UdpSocket, question: &[u8], from: SocketAddr) {
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
            return;
        }
        let known = self.names.lock().unwrap().get(&name).copied();
        let has_address = known.filter(|_| kind == IPV4);
        let code = if known.is_some() { 0 } else { MISSING };
        let mut answer = question[..2].to_vec();
        let (addresses, authorities) = (u8::from(has_address.is_some()), u8::from(known.is_none()));
        answer.extend([0x81, 0x80 | code, 0, 1, 0, addresses, 0, authorities, 0, 0]);
        answer.extend(&question[12..at + 5]);
        if let Some((address, ttl)) = has_address {
            answer.extend([0xc0, 12, 0, 1, 0, 1]);
            answer.extend(ttl.to_be_bytes());
            answer.extend([0, 4]);
            answer.extend(address.octets());
        }
        if known.is_none() {
            answer.extend(SOA);
        }
        if name == "slow.test" {
            std::thread::sleep(Duration::from_millis(100));
        }
        socket.send_to(&answer, from).unwrap();
    }
}
