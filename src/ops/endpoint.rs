//! An endpoint that somebody else runs (a load balancer, a name in DNS), before it is used.
//!
//! What was seen there is judged by [`judge`], which does no IO: before the cluster is made nothing
//! can serve behind it, so "nobody there yet" is fine, and anybody else there is not.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::action::{Action, Nature, Observed, OpError, OpResult};
use super::sys::{EndpointAt, Sys};
use crate::events::Refusal;

/// What a node finds at an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// The name leads nowhere on this node.
    Unresolved,
    /// No answer to the first packet, or no way there; why.
    Silent(String),
    /// The host is there, and nothing listens.
    Refused,
    /// A balancer took the connection and had nobody to hand it to.
    NobodyBehind,
    /// It speaks, and not TLS.
    NoTls,
    /// A server with a certificate by this cluster's CA.
    Ours,
    /// A server with another certificate; and whether there was a CA here to compare it with.
    Stranger { compared: bool },
}

/// Why the endpoint cannot be used, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    pub why: String,
    pub hint: &'static str,
    /// Using it could touch somebody else's cluster.
    pub refused: bool,
}

/// `alone`: nobody makes this cluster yet, so whoever serves there is another one.
pub fn judge(seen: &Seen, alone: bool) -> Result<(), Unfit> {
    let unfit = |why: String, hint| Err(Unfit { why, hint, refused: false });
    match seen {
        Seen::Refused | Seen::NobodyBehind | Seen::Ours => Ok(()),
        // Who joins is told the CA's hash, and compares.
        Seen::Stranger { compared: false } if !alone => Ok(()),
        Seen::Unresolved => unfit(
            "its name is not known on this node".into(),
            "add the record to your DNS, or a [[host.file]]; `getent hosts NAME` on the node shows what it knows",
        ),
        Seen::Silent(why) => unfit(
            format!("nobody answers: {why}"),
            "start the load balancer, and let the nodes through its firewall; before the cluster is made it may refuse connections, but it has to be there",
        ),
        Seen::NoTls => unfit(
            "something answers that does not speak TLS".into(),
            "the load balancer has to pass TCP through to the API servers' port; check its port and mode",
        ),
        Seen::Stranger { .. } => Err(Unfit {
            why: "somebody with another cluster's certificate answers".into(),
            hint: "let the load balancer pass TCP through to this cluster's control planes only, or choose another name or port",
            refused: true,
        }),
    }
}

/// The endpoint that the inventory names may be used for this cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointFit {
    pub at: EndpointAt,
    /// See [`judge`].
    pub alone: bool,
}

#[async_trait]
impl Action for EndpointFit {
    fn title(&self) -> String {
        format!("the endpoint {}:{} is there, and nobody else's", self.at.host, self.at.port)
    }

    fn nature(&self) -> Nature {
        Nature { timeout_s: 60, ..Nature::CHECK }
    }

    async fn observe(&self, sys: &dyn Sys) -> OpResult<Observed> {
        // Once this node is in the cluster, `verify` proves more.
        let member = sys.local_kube().await?.finished;
        let seen = sys.look_at_endpoint(&self.at).await?;
        match judge(&seen, self.alone && !member) {
            Ok(()) => Ok(Observed::Holds),
            Err(Unfit { why, hint, refused: true }) => {
                Err(OpError::refused(Refusal::Identity, self.title(), why).hint(hint))
            }
            Err(Unfit { why, hint, .. }) => {
                Err(OpError::new(self.title(), why).hint(hint).passing())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_there_yet_is_fine_and_anybody_else_is_not() {
        for fine in [Seen::Refused, Seen::NobodyBehind, Seen::Ours] {
            for alone in [true, false] {
                assert_eq!(judge(&fine, alone), Ok(()), "{fine:?}");
            }
        }
        for bad in [Seen::Unresolved, Seen::Silent("no answer in 3 s".into()), Seen::NoTls] {
            for alone in [true, false] {
                assert!(!judge(&bad, alone).unwrap_err().refused, "{bad:?}");
            }
        }
        let compared = Seen::Stranger { compared: true };
        assert!(judge(&compared, true).unwrap_err().refused);
        assert!(judge(&compared, false).unwrap_err().refused);
        let unknown = Seen::Stranger { compared: false };
        assert!(
            judge(&unknown, true).unwrap_err().refused,
            "there is no cluster yet but it answers"
        );
        assert_eq!(judge(&unknown, false), Ok(()), "it may be the one that is joined");
    }
}
