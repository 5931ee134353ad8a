//! Who answers for an address on the LAN.
//!
//! Silence takes its time. So the question may be put while a plan is made: whoever asks soon after takes over
//! what is known by then.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{net::UdpSocket, time::sleep};

use super::{Linux, command::Command, task::Task};
use crate::{
    facts::{Link, read::ports},
    names::Mac,
    ops::sys::{Net, SysError, SysResult},
};

/// The discard service: nobody listens there, but the question has to be asked by ARP first.
const DISCARD: u16 = 9;
const STEP_MS: u64 = 50;
/// How often the question is put, and how long each time an answer may take: on a LAN it takes a few
/// milliseconds, and the kernel's own three questions come a second apart.
const TRIES: u32 = 2;
const TRY_MS: u64 = 250;
/// An answer that is older says nothing of now.
const FRESH: Duration = Duration::from_secs(5);

type Answer = SysResult<Option<Mac>>;

#[derive(Debug)]
struct Question {
    put: Instant,
    asking: Task<Answer>,
}

/// Questions whose answers nobody has taken yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Questions(Arc<Mutex<BTreeMap<Ipv4Addr, Question>>>);

impl Questions {
    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<Ipv4Addr, Question>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, address: Ipv4Addr, ask: impl Future<Output = Answer> + Send + 'static) {
        let question = Question { put: Instant::now(), asking: Task::begin(ask) };
        self.all().insert(address, question);
    }

    /// None when it was not put, or long ago.
    async fn answer(&self, address: Ipv4Addr) -> Option<Answer> {
        let question = self.all().remove(&address).filter(|q| q.put.elapsed() <= FRESH)?;
        question.asking.done().await
    }
}

impl Linux {
    pub(super) fn put_question(&self, address: Ipv4Addr) {
        let linux = self.clone();
        self.questions.put(address, async move { linux.ask_lan(address).await });
    }

    pub(super) async fn answer(&self, address: Ipv4Addr) -> Answer {
        match self.questions.answer(address).await {
            Some(answer) => answer,
            None => self.ask_lan(address).await,
        }
    }

    /// What the kernel knows of a neighbour, and the port of an entry that may be forgotten: one that
    /// nobody has set by hand.
    async fn neighbour(
        &self,
        address: Ipv4Addr,
    ) -> SysResult<(ports::Neighbourhood, Option<String>)> {
        let show = Command::new("ip").args(["-j", "neigh", "show"]).arg(address.to_string());
        let told = show.done().await?.stdout;
        Ok((ports::neighbour(&told, address), ports::forgettable(&told, address)))
    }

    async fn ask_lan(&self, address: Ipv4Addr) -> Answer {
        let failed = |e: std::io::Error| SysError::other(format!("ask who has {address}: {e}"));
        let own: Vec<Link> = self.links().await?;
        if let Some(link) = own.iter().find(|l| l.has(address)) {
            return Ok(Some(link.mac));
        }
        let socket = UdpSocket::bind("0.0.0.0:0").await.map_err(failed)?;
        for _ in 0..TRIES {
            // A neighbour that was known before would be asked again only after some seconds, and one
            // that does not answer, after a second: without an entry the kernel asks at once.
            if let (_, Some(port)) = self.neighbour(address).await? {
                let forget = Command::new("ip").args(["neigh", "del"]).arg(address.to_string());
                forget.args(["dev", &port]).run().await?;
            }
            // Where there is no route there is no neighbour either.
            if socket.send_to(&[0], (address, DISCARD)).await.is_err() {
                return Ok(None);
            }
            for _ in 0..TRY_MS / STEP_MS {
                sleep(Duration::from_millis(STEP_MS)).await;
                if let (ports::Neighbourhood::Answers(mac), _) = self.neighbour(address).await? {
                    return Ok(Some(mac));
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_taken_once_and_only_while_it_is_fresh() {
        let address = Ipv4Addr::new(198, 51, 100, 1);
        let mac: Mac = "58:47:ca:00:00:01".parse().unwrap();
        let questions = Questions::default();
        assert!(questions.answer(address).await.is_none(), "it was not put");
        questions.put(address, async move { Ok(Some(mac)) });
        assert_eq!(questions.answer(address).await.unwrap().unwrap(), Some(mac));
        assert!(questions.answer(address).await.is_none(), "it was taken");
        questions.put(address, async move { Ok(Some(mac)) });
        questions.all().get_mut(&address).unwrap().put -= FRESH + Duration::from_millis(1);
        assert!(questions.answer(address).await.is_none(), "it says nothing of now");
    }
}
