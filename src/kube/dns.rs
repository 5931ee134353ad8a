//! One question to the cluster's DNS: an address record, over UDP. The node's own resolver does not
//! know the cluster's names, and is not asked.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{
    net::UdpSocket,
    time::{interval, sleep},
};

const PORT: u16 = 53;
const PATIENCE: Duration = Duration::from_millis(700);
/// Put again, beside the one that is under way: a question from before the Service's rules were there stays
/// on its wrong way, and the next one takes the right one.
const AGAIN: Duration = Duration::from_millis(200);
const HEADER: usize = 12;
const ADDRESS: [u8; 4] = [0, 1, 0, 1];

fn question(id: u16, name: &str) -> Vec<u8> {
    let mut packet = id.to_be_bytes().to_vec();
    // Recursion wanted, one question.
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        // Names of the cluster's are short; a longer one is cut, and then not known.
        let label = &label.as_bytes()[..label.len().min(63)];
        packet.push(u8::try_from(label.len()).unwrap_or(63));
        packet.extend(label);
    }
    packet.push(0);
    packet.extend(ADDRESS);
    packet
}

fn skip_name(packet: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match usize::from(*packet.get(at)?) {
            0 => return Some(at + 1),
            length if length >= 0xc0 => return Some(at + 2),
            length => at += 1 + length,
        }
    }
}

/// The first address in an answer to `id`; an error is the server's own word.
fn answer(packet: &[u8], id: u16) -> Option<Result<Option<Ipv4Addr>, u8>> {
    if packet.len() < HEADER || packet[..2] != id.to_be_bytes() {
        return None;
    }
    let code = packet[3] & 0x0f;
    if code != 0 {
        return Some(Err(code));
    }
    let mut at = skip_name(packet, HEADER)? + 4;
    for _ in 0..u16::from_be_bytes([packet[6], packet[7]]) {
        at = skip_name(packet, at)?;
        let length = usize::from(u16::from_be_bytes([*packet.get(at + 8)?, *packet.get(at + 9)?]));
        let data = packet.get(at + 10..at + 10 + length)?;
        if packet[at..at + 4] == ADDRESS
            && let Ok(octets) = <[u8; 4]>::try_from(data)
        {
            return Some(Ok(Some(octets.into())));
        }
        at += 10 + length;
    }
    Some(Ok(None))
}

/// What `server` says the address of `name` is, or why it does not.
pub async fn ask(server: Ipv4Addr, name: &str) -> Result<Ipv4Addr, String> {
    ask_at(SocketAddrV4::new(server, PORT), name, PATIENCE).await
}

/// The same of one that listens elsewhere, or needs longer.
pub async fn ask_at(
    server: SocketAddrV4,
    name: &str,
    patience: Duration,
) -> Result<Ipv4Addr, String> {
    let patience = sleep(patience);
    tokio::pin!(patience);
    let (mut again, mut open) = (interval(AGAIN), FuturesUnordered::new());
    loop {
        tokio::select! {
            biased;
            Some(heard) = open.next() => return heard,
            () = &mut patience => return Err("no answer".into()),
            _ = again.tick() => open.push(ask_once(server, name)),
        }
    }
}

async fn ask_once(server: SocketAddrV4, name: &str) -> Result<Ipv4Addr, String> {
    let said = |e: std::io::Error| e.to_string();
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.map_err(said)?;
    socket.connect(server).await.map_err(said)?;
    let id = socket.local_addr().map_err(said)?.port();
    socket.send(&question(id, name)).await.map_err(said)?;
    let mut packet = [0; 512];
    let length = socket.recv(&mut packet).await.map_err(said)?;
    match answer(&packet[..length], id) {
        Some(Ok(Some(address))) => Ok(address),
        Some(Ok(None)) => Err(format!("{name} has no address")),
        Some(Err(code)) => Err(format!("it says no (code {code}) to {name}")),
        None => Err("what it answers is no answer".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_that_is_lost_is_put_again() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let std::net::SocketAddr::V4(at) = server.local_addr().unwrap() else { panic!() };
        let answers = tokio::spawn(async move {
            let mut asked = [0; 512];
            server.recv_from(&mut asked).await.unwrap();
            let (length, from) = server.recv_from(&mut asked).await.unwrap();
            let mut answered = asked[..length].to_vec();
            answered[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
            answered.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 43, 0, 1]);
            server.send_to(&answered, from).await.unwrap();
        });
        let heard = ask_at(at, "kubernetes.default", Duration::from_secs(60)).await;
        assert_eq!(heard, Ok(Ipv4Addr::new(10, 43, 0, 1)));
        answers.await.unwrap();
    }

    #[test]
    fn questions_and_answers() {
        let asked = question(7, "kubernetes.default");
        assert_eq!(&asked[..2], [0, 7]);
        assert_eq!(&asked[12..24], b"\x0akubernetes\x07");
        let mut answered = asked.clone();
        answered[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
        answered.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 43, 0, 1]);
        assert_eq!(answer(&answered, 7), Some(Ok(Some(Ipv4Addr::new(10, 43, 0, 1)))));
        assert_eq!(answer(&answered, 8), None, "somebody else's");
        for length in 0..answered.len() {
            let cut = answer(&answered[..length], 7);
            assert!(!matches!(cut, Some(Ok(Some(_)))), "cut at {length}: {cut:?}");
        }
        answered[3] = 0x83;
        assert_eq!(answer(&answered, 7), Some(Err(3)));
    }
}
