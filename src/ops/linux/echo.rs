//! Proving a path by echoes (ICMP): every kernel answers them, so nothing has to listen at the far
//! end. Small ones for loss and latency, ones that must not be cut for the packet size, and many
//! large ones at a time for throughput, which go and come back and so load both ways at once.

use std::{
    io::{self, Read},
    net::{Ipv4Addr, SocketAddrV4},
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

const IP_HEADER: usize = 20;
const ICMP_HEADER: usize = 8;
const REQUEST: u8 = 8;
const ANSWER: u8 = 0;
/// How long an answer may take on a wire between neighbours.
const PATIENCE: Duration = Duration::from_millis(400);
const SMALL: u16 = 20;
const HOPELESS: u16 = 5;
const SMALL_BYTES: usize = 56;
/// Cut up by the kernel and put together again: few calls for many bytes.
const LARGE_BYTES: usize = 32 << 10;
/// How much may be under way: more than a wire between neighbours holds.
const WINDOW: usize = 24;
const FLOOD: Duration = Duration::from_millis(500);
/// The least that every path of IPv4 has to carry.
const LEAST_MTU: u16 = 576;

/// What small echoes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answers {
    pub sent: u16,
    pub heard: u16,
    /// The middle one of all.
    pub latency_us: u32,
}

fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])))
        .sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// An echo request with `payload` bytes behind its header.
fn request(id: u16, sequence: u16, payload: usize) -> Vec<u8> {
    let mut packet = vec![0x5a; ICMP_HEADER + payload];
    packet[..4].copy_from_slice(&[REQUEST, 0, 0, 0]);
    packet[4..6].copy_from_slice(&id.to_be_bytes());
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    let sum = checksum(&packet);
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// The sequence number of an answer to `id`, and how many bytes it carries. A raw socket shows every
/// ICMP packet that comes in, with its IP header.
fn answer(packet: &[u8], id: u16) -> Option<(u16, usize)> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let icmp = packet.get(header..)?;
    let word = |at: usize| Some(u16::from_be_bytes([*icmp.get(at)?, *icmp.get(at + 1)?]));
    (*icmp.first()? == ANSWER && word(4)? == id).then_some((word(6)?, icmp.len() - ICMP_HEADER))
}

/// An IP header that forbids to cut the packet; the kernel fills in the rest.
fn uncut(to: Ipv4Addr, icmp: &[u8]) -> Vec<u8> {
    let length = u16::try_from(IP_HEADER + icmp.len()).unwrap_or(u16::MAX);
    let mut packet = vec![0; IP_HEADER];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet[6] = 0x40;
    packet[8] = 64;
    packet[9] = 1;
    packet[16..20].copy_from_slice(&to.octets());
    packet.extend_from_slice(icmp);
    packet
}

/// One way to one neighbour. Its calls block.
pub struct Echo {
    to: Ipv4Addr,
    id: u16,
    sequence: u16,
    socket: Socket,
    /// For packets that bring their own header.
    raw: Socket,
}

impl Echo {
    pub fn new(to: Ipv4Addr, id: u16) -> io::Result<Self> {
        let open = || Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4));
        let (socket, raw) = (open()?, open()?);
        raw.set_header_included_v4(true)?;
        for socket in [&socket, &raw] {
            // As much as the machine lets us have.
            let _ = socket.set_recv_buffer_size(4 << 20);
            let _ = socket.set_send_buffer_size(4 << 20);
        }
        Ok(Self { to, id, sequence: 0, socket, raw })
    }

    fn address(&self) -> SockAddr {
        SocketAddrV4::new(self.to, 0).into()
    }

    fn next(&mut self) -> u16 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// The next answer that is ours.
    fn hear(&self, until: Instant) -> Option<(u16, usize)> {
        let mut buffer = vec![0; IP_HEADER + ICMP_HEADER + LARGE_BYTES + 64];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.socket.set_read_timeout(Some(left)).is_err() {
                return None;
            }
            let Ok(got) = (&self.socket).read(&mut buffer) else { continue };
            if let Some(found) = answer(&buffer[..got], self.id) {
                return Some(found);
            }
        }
    }

    pub fn small(&mut self) -> io::Result<Answers> {
        let (mut heard, mut latencies) = (0, Vec::new());
        for n in 0..SMALL {
            // Nobody there.
            if n == HOPELESS && heard == 0 {
                break;
            }
            let sequence = self.next();
            let began = Instant::now();
            match self.socket.send_to(&request(self.id, sequence, SMALL_BYTES), &self.address()) {
                Ok(_) => {}
                // No route, no carrier, no neighbour: that is an answer too.
                Err(e) if unreachable(&e) => continue,
                Err(e) => return Err(e),
            }
            let until = began + PATIENCE;
            while let Some((of, _)) = self.hear(until) {
                if of == sequence {
                    heard += 1;
                    latencies.push(began.elapsed());
                    break;
                }
            }
        }
        latencies.sort();
        let middle = latencies.get(latencies.len() / 2).copied().unwrap_or_default();
        let latency_us = u32::try_from(middle.as_micros()).unwrap_or(u32::MAX);
        Ok(Answers { sent: SMALL, heard, latency_us })
    }

    /// Whether a packet of exactly this size gets there and back in one piece.
    fn passes(&mut self, bytes: u16) -> io::Result<bool> {
        let payload = usize::from(bytes) - IP_HEADER - ICMP_HEADER;
        for _ in 0..3 {
            let sequence = self.next();
            let packet = uncut(self.to, &request(self.id, sequence, payload));
            match self.raw.send_to(&packet, &self.address()) {
                Ok(_) => {}
                // Larger than our own port takes.
                Err(e) if e.raw_os_error() == Some(nix::libc::EMSGSIZE) => return Ok(false),
                Err(e) if unreachable(&e) => continue,
                Err(e) => return Err(e),
            }
            let until = Instant::now() + PATIENCE;
            while let Some((of, _)) = self.hear(until) {
                if of == sequence {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The largest packet that passes uncut, up to `wanted`.
    pub fn path_mtu(&mut self, wanted: u16) -> io::Result<u16> {
        if self.passes(wanted)? {
            return Ok(wanted);
        }
        let (mut low, mut high) = (0, wanted);
        // Usual sizes first: they are the answer, mostly.
        for usual in [1500, LEAST_MTU].into_iter().filter(|u| *u < wanted) {
            if self.passes(usual)? {
                low = usual;
                break;
            }
            high = usual;
        }
        while low != 0 && high - low > 8 {
            let middle = low + (high - low) / 2;
            if self.passes(middle)? { low = middle } else { high = middle }
        }
        Ok(low)
    }

    /// Megabits a second, one way; as many go the other way at the same time.
    pub fn throughput(&mut self) -> io::Result<u32> {
        let began = Instant::now();
        let (mut under_way, mut bytes) = (0, 0u64);
        let mut last = began;
        while began.elapsed() < FLOOD {
            while under_way < WINDOW {
                let packet = request(self.id, self.next(), LARGE_BYTES);
                match self.socket.send_to(&packet, &self.address()) {
                    Ok(_) => under_way += 1,
                    Err(e) if unreachable(&e) || e.raw_os_error() == Some(nix::libc::ENOBUFS) => {
                        break;
                    }
                    Err(e) => return Err(e),
                }
            }
            match self.hear(Instant::now() + PATIENCE / 8) {
                Some((_, payload)) if payload == LARGE_BYTES => {
                    under_way = under_way.saturating_sub(1);
                    bytes += payload as u64;
                    last = Instant::now();
                }
                Some(_) => {}
                // Lost, all of them: others in their place.
                None => under_way = 0,
            }
        }
        let seconds = last.duration_since(began).as_secs_f64();
        if bytes == 0 || seconds <= 0.0 {
            return Ok(0);
        }
        Ok((bytes as f64 * 8.0 / seconds / 1e6) as u32)
    }
}

fn unreachable(error: &io::Error) -> bool {
    use nix::libc::{EHOSTDOWN, EHOSTUNREACH, ENETDOWN, ENETUNREACH};
    error
        .raw_os_error()
        .is_some_and(|e| [EHOSTDOWN, EHOSTUNREACH, ENETDOWN, ENETUNREACH].contains(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_what_kernels_answer() {
        let packet = request(0x1234, 7, 3);
        assert_eq!(checksum(&packet), 0, "a packet with its checksum sums up to nothing");
        assert_eq!(packet.len(), 11);
        let mut heard = uncut("10.0.0.1".parse().unwrap(), &packet);
        assert_eq!(answer(&heard, 0x1234), None, "our own question");
        heard[20] = ANSWER;
        assert_eq!(answer(&heard, 0x1234), Some((7, 3)));
        assert_eq!(answer(&heard, 0x1235), None, "somebody else's");
        for cut in 0..heard.len() - 3 {
            let _ = answer(&heard[..cut], 0x1234);
        }
        assert_eq!(answer(&[], 1), None);
    }
}
