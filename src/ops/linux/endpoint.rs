//! What a node finds at an endpoint that somebody else runs.

use std::{
    fs,
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use super::{Linux, kube::PKI};
use crate::{
    https,
    ops::{
        endpoint::Seen,
        sys::{EndpointAt, Net, SysError, SysResult},
    },
};

/// A first packet is answered within milliseconds, or once more after a second where it got lost.
const CONNECT: Duration = Duration::from_secs(3);
/// A balancer tries its backends for some seconds before it gives up on them.
const ANSWER: Duration = Duration::from_secs(8);

/// What came of a first connection and the handshake on it.
fn seen(address: SocketAddr, host: &str, ca: Option<&[u8]>) -> io::Result<Seen> {
    let stream = match TcpStream::connect_timeout(&address, CONNECT) {
        Ok(stream) => stream,
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => return Ok(Seen::Refused),
        Err(e) if matches!(e.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {
            return Ok(Seen::Silent(format!(
                "no answer from {address} in {} s",
                CONNECT.as_secs()
            )));
        }
        Err(e) => return Ok(Seen::Silent(format!("{address}: {e}"))),
    };
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    Ok(match https::greet(stream, host, ca) {
        https::Greeting::Trusted => Seen::Ours,
        https::Greeting::Untrusted => Seen::Stranger { compared: ca.is_some() },
        https::Greeting::NoTls => Seen::NoTls,
        https::Greeting::Gone => Seen::NobodyBehind,
    })
}

impl Linux {
    /// Where the endpoint is, asked of the node's own name service when nobody said.
    pub(super) async fn endpoint_address(&self, at: &EndpointAt) -> SysResult<Option<Ipv4Addr>> {
        match at.address {
            Some(address) => Ok(Some(address)),
            None => self.resolve(&at.host).await,
        }
    }

    pub(super) async fn seen_at(&self, at: &EndpointAt) -> SysResult<Seen> {
        let Some(address) = self.endpoint_address(at).await? else { return Ok(Seen::Unresolved) };
        let ca = fs::read(self.path(&format!("{PKI}/ca.crt"))).ok();
        let (place, host) = (SocketAddr::from((address, at.port)), at.host.clone());
        let asked = tokio::task::spawn_blocking(move || seen(place, &host, ca.as_deref()));
        let done = asked.await.map_err(|e| SysError::other(e.to_string()))?;
        done.map_err(|e| SysError::other(format!("look at {place}: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        net::{Ipv4Addr, TcpListener},
        thread,
    };

    use super::*;

    /// A server that does one thing with the first connection.
    fn at(serve: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || serve(listener.accept().unwrap().0));
        address
    }

    #[test]
    fn what_is_behind_an_address() {
        // Taken, so that no other test gets it; nobody listens there.
        let taken = tokio::net::TcpSocket::new_v4().unwrap();
        taken.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let nobody = taken.local_addr().unwrap();
        assert_eq!(seen(nobody, "x", None).unwrap(), Seen::Refused);
        assert_eq!(seen(at(drop), "x", None).unwrap(), Seen::NobodyBehind);
        let web = at(|mut stream| {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            thread::sleep(Duration::from_millis(200));
        });
        assert_eq!(seen(web, "x", None).unwrap(), Seen::NoTls);
    }

    #[tokio::test]
    async fn a_name_that_leads_nowhere() {
        let at = EndpointAt { host: "no-such-name.invalid".into(), address: None, port: 6443 };
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Linux::at(dir.path()).seen_at(&at).await.unwrap(), Seen::Unresolved);
    }
}
