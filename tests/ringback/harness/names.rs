//! A name server with addresses that a test sets. It never answers for names under `hangs.test`.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

const IPV4: u16 = 1;
const MISSING: u8 = 3;

/// The name server. It runs until the test's process ends.
pub(crate) struct Names {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The address and TTL of each name.
    names: Mutex<HashMap<String, (Ipv4Addr, u32)>>,
    asked: Mutex<HashMap<String, usize>>,
}

impl Names {
    /// Starts a name server without names.
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let names = Self { address, shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            let mut bytes = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                if let Some(answer) = shared.answer(&bytes[..length]) {
                    socket.send_to(&answer, from).expect("a datagram");
                }
            }
        });
        names
    }

    /// Returns the value of `delivery.name_servers`.
    pub(crate) fn servers(&self) -> Vec<String> {
        vec![self.address.to_string()]
    }

    /// Sets the address and TTL of `name`.
    pub(crate) fn set(&self, name: &str, address: [u8; 4], ttl: u32) {
        let mut names = self.shared.names.lock().expect("no panic inside");
        names.insert(name.to_owned(), (address.into(), ttl));
    }

    /// Returns how many names under `suffix` were requested.
    pub(crate) fn asked_under(&self, suffix: &str) -> usize {
        let asked = self.shared.asked.lock().expect("no panic inside");
        asked.keys().filter(|name| name.ends_with(suffix)).count()
    }
}

impl Shared {
    fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let mut labels = Vec::new();
        let mut at = 12;
        while question[at] > 0 {
            let end = at + 1 + usize::from(question[at]);
            labels.push(String::from_utf8_lossy(&question[at + 1..end]).to_ascii_lowercase());
            at = end;
        }
        let name = labels.join(".");
        *self.asked.lock().expect("no panic inside").entry(name.clone()).or_default() += 1;
        if name.ends_with(".hangs.test") {
            return None;
        }
        let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
        let known = self.names.lock().expect("no panic inside").get(&name).copied();
        let has_address = known.filter(|_| kind == IPV4);
        let code = if known.is_some() { 0 } else { MISSING };
        let mut answer = question[..2].to_vec();
        answer.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(has_address.is_some()), 0, 0, 0, 0]);
        answer.extend(&question[12..at + 5]);
        if let Some((address, ttl)) = has_address {
            answer.extend([0xc0, 12, 0, 1, 0, 1]);
            answer.extend(ttl.to_be_bytes());
            answer.extend([0, 4]);
            answer.extend(address.octets());
        }
        Some(answer)
    }
}
