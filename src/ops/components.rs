//! The control plane's components on a node, asked one by one, there.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Nature, Observed, OpError, OpResult};
use super::sys::Sys;

/// etcd, API server, controller manager and scheduler of this node answer its own questions: what
/// the kubelet's probes ask too, without the ten seconds and more after which those look again. And they
/// are the ones that the kubelet wants, not those of the one before it, which it is about to end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComponentsWell {
    /// The API shows them so too: a kubelet tries that again only about once in a minute.
    pub shown: bool,
    pub wait_s: u32,
}

const POLL_MS: u64 = 300;

#[async_trait]
impl Action for ComponentsWell {
    fn title(&self) -> String {
        "etcd, API server, controller manager and scheduler are well".into()
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: self.wait_s + 60, ..Nature::CHECK }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        let deadline = sys.now_ms() + u64::from(self.wait_s) * 1000;
        loop {
            let troubles = sys.component_troubles(self.shown).await?;
            if troubles.is_empty() {
                return Ok(Observed::Holds);
            }
            if sys.now_ms() >= deadline {
                let why = format!("after {} s: {}", self.wait_s, troubles.join("; "));
                return Err(OpError::new(self.title(), why)
                    .hint("`crictl ps -a` and `crictl logs` on this node show why"));
            }
            sys.sleep_ms(POLL_MS).await;
        }
    }
}
