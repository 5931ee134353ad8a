//! A server on loopback that misbehaves as it is told, for tests.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What the server does with a path. All of it for ever, but for what says otherwise.
#[derive(Clone)]
pub enum Does {
    Gives(Vec<u8>),
    /// Closes the connection after so many bytes, this many times.
    Breaks(Vec<u8>, usize, u32),
    /// As one that knows nothing of ranges.
    FromTheBeginning(Vec<u8>),
    Page,
    Answers(u16),
    /// This many times, and then the bytes.
    Busy(u32, Vec<u8>),
    /// Only for who shows this token; the others are told to ask at `token` of this server.
    Guarded(&'static str, Box<Does>),
}

#[derive(Default)]
struct State {
    does: BTreeMap<String, Does>,
    /// The paths that were asked for, with the ranges.
    asked: Vec<String>,
}

pub struct Server {
    pub address: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub async fn new(does: &[(&str, Does)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let does = does.iter().map(|(path, does)| (path.to_string(), does.clone())).collect();
        let state = Arc::new(Mutex::new(State { does, asked: Vec::new() }));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, shared.clone()));
            }
        });
        Self { address, state }
    }

    pub fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }
}

async fn answer(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read_exact(&mut byte).await.is_err() {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap().to_string();
    let range = head.lines().find_map(|l| l.strip_prefix("range: bytes=")?.strip_suffix('-'));
    let from: usize = range.and_then(|r| r.parse().ok()).unwrap_or(0);
    let name = path.split('?').next().unwrap().rsplit('/').next().unwrap().to_string();
    let host = head.lines().find_map(|l| l.strip_prefix("host: ")).unwrap_or_default();
    let shown = head.lines().find_map(|l| l.strip_prefix("authorization: Bearer "));
    let mut challenge = String::new();
    let does = {
        let mut state = state.lock().unwrap();
        state.asked.push(if from > 0 { format!("{name}@{from}") } else { name.clone() });
        let does = state.does.get(&name).cloned().unwrap_or(Does::Answers(404));
        if let Some(Does::Breaks(.., times) | Does::Busy(times, _)) = state.does.get_mut(&name) {
            *times = times.saturating_sub(1);
        }
        match does {
            Does::Guarded(token, _) if shown != Some(token) => {
                challenge = format!(
                    "www-authenticate: Bearer realm=\"http://{host}/token\",service=\"s\"\r\n"
                );
                Does::Answers(401)
            }
            Does::Guarded(_, does) => *does,
            does => does,
        }
    };
    let (status, kind, bytes, most) = match does {
        Does::Gives(bytes) | Does::Breaks(bytes, _, 0) | Does::Busy(0, bytes) => {
            (200, "application/octet-stream", bytes, usize::MAX)
        }
        Does::Breaks(bytes, most, _) => (200, "application/octet-stream", bytes, most),
        Does::FromTheBeginning(bytes) => (201, "application/octet-stream", bytes, usize::MAX),
        Does::Page => {
            (200, "text/html; charset=utf-8", b"<html>log in</html>".to_vec(), usize::MAX)
        }
        Does::Answers(status) => (status, "text/plain", Vec::new(), usize::MAX),
        Does::Busy(..) | Does::Guarded(..) => (503, "text/plain", Vec::new(), usize::MAX),
    };
    let (status, bytes) = match status {
        200 if from > bytes.len() => (416, Vec::new()),
        200 if from > 0 => (206, bytes[from..].to_vec()),
        201 => (200, bytes),
        other => (other, bytes),
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\n{challenge}content-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        bytes.len()
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&bytes[..most.min(bytes.len())]).await;
    let _ = stream.shutdown().await;
}
