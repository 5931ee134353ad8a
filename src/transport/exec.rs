//! One command over an SSH connection, its three streams kept apart.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use russh::{ChannelMsg, client::Handle};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf},
    sync::Notify,
};

use super::dial::Checking;

/// What a command may say on stderr before the oldest is forgotten.
const MOST_STDERR: usize = 64 << 10;
const PIPE: usize = 256 << 10;

#[derive(Debug, Default)]
struct Said {
    stderr: Vec<u8>,
    code: Option<u32>,
    closed: bool,
}

/// What is known of the command besides its output.
#[derive(Debug, Clone, Default)]
pub struct Fate {
    said: Arc<Mutex<Said>>,
    news: Arc<Notify>,
}

impl Fate {
    fn update(&self, change: impl FnOnce(&mut Said)) {
        change(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner));
        self.news.notify_one();
    }

    pub fn stderr(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&said.stderr).into_owned()
    }

    pub fn code(&self) -> Option<u32> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).code
    }

    fn closed(&self) -> bool {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).closed
    }

    /// Returns when stderr says `word` once more than `before` times; or when all is over.
    pub async fn says(&self, word: &str, before: usize) {
        while self.stderr().matches(word).count() <= before && !self.closed() {
            self.news.notified().await;
        }
    }

    /// Waits until the command is over.
    pub async fn ended(&self) {
        while !self.closed() {
            self.news.notified().await;
        }
        // For whoever else waits.
        self.news.notify_one();
    }
}

/// A running command: read its stdout, write its stdin.
pub struct Remote {
    stdout: DuplexStream,
    stdin: Pin<Box<dyn AsyncWrite + Send>>,
    pub fate: Fate,
    /// The connection, and whatever it runs through, lives as long as the command.
    keep: Option<Box<dyn std::any::Any + Send>>,
}

impl Remote {
    pub async fn start(handle: &Handle<Checking>, command: &str) -> Result<Self, russh::Error> {
        let channel = handle.channel_open_session().await?;
        channel.exec(true, command).await?;
        let (mut read, write) = channel.split();
        let stdin = Box::pin(write.make_writer());
        let (stdout, mut far) = tokio::io::duplex(PIPE);
        let fate = Fate::default();
        let telling = fate.clone();
        tokio::spawn(async move {
            let mut wanted = true;
            while let Some(message) = read.wait().await {
                match message {
                    // Read on when nobody wants it: one unread channel stalls all the others.
                    ChannelMsg::Data { data } if wanted => {
                        wanted = far.write_all(&data).await.is_ok();
                    }
                    ChannelMsg::ExtendedData { data, .. } => telling.update(|said| {
                        said.stderr.extend_from_slice(&data);
                        let over = said.stderr.len().saturating_sub(MOST_STDERR);
                        said.stderr.drain(..over);
                    }),
                    ChannelMsg::Eof => {
                        let _ = far.shutdown().await;
                        wanted = false;
                    }
                    ChannelMsg::ExitStatus { exit_status } => {
                        telling.update(|said| said.code = Some(exit_status));
                    }
                    _ => {}
                }
            }
            // The channel's other half is kept until here, or its writer would not work.
            drop(write);
            drop(far);
            telling.update(|said| said.closed = true);
        });
        Ok(Self { stdout, stdin, fate, keep: None })
    }

    pub fn keeping(mut self, connection: impl Send + 'static) -> Self {
        self.keep = Some(Box::new(connection));
        self
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote")
            .field("fate", &self.fate)
            .field("kept", &self.keep.is_some())
            .finish()
    }
}

impl AsyncRead for Remote {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(cx, buf)
    }
}

impl AsyncWrite for Remote {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.stdin.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.stdin.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.stdin.as_mut().poll_shutdown(cx)
    }
}
