//! What controller and agent say to each other, and how it is put into bytes.
//!
//! MessagePack with names, behind a length. A frame is one message; none is longer than
//! [`MAX_FRAME`]. Secrets are exposed here and nowhere else.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::{
    events::{Failure, RequestId},
    facts::NodeFacts,
    names::StepName,
    ops::{Observed, Op, Output, Telling, packages::Wanted},
    secret::exposed,
};

/// Facts of a node with many disks and a large cluster stay far below this.
pub const MAX_FRAME: usize = 16 << 20;

/// How much of a file goes into one.
pub const PART: usize = 256 << 10;

/// Said by an agent that takes a file, when it does.
pub const READY: &str = "slipway-ready\n";
/// What a line on an agent's stderr begins with that says why it ended, and what to do about it.
pub const SAYS: &str = "slipway-agent: ";
pub const HINTS: &str = "slipway-hint: ";

/// The agent says this first: whatever a login shell printed before it is skipped.
pub const PREAMBLE: &[u8] = b"\0slipway-agent-1\n";

/// An op with the name of the step that decided on it, for the node's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepOp {
    pub step: StepName,
    pub op: Op,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToAgent {
    Facts {
        now_ms: u64,
    },
    Observe {
        ops: Vec<Op>,
        /// Checks that come later in the same run, and may begin.
        later: Vec<Op>,
    },
    /// Runs one op that needs no lease and leaves nothing behind. Answered by `Served`.
    Serve {
        op: Box<Op>,
    },
    /// What waits to be fetched, from a place in it on. Answered by `Part` after `Part`, the last one
    /// empty.
    Fetch {
        file: String,
        from: u64,
    },
    /// It was fetched, or is not wanted. Answered by `Observed` of nothing.
    Discard {
        file: String,
    },
    /// A lease for this operator; `force` takes over somebody else's.
    TakeLease {
        holder: String,
        force: bool,
    },
    ReleaseLease {
        generation: u64,
    },
    /// Runs the ops, or goes on running them, and sends the events after `after`.
    Apply {
        request: RequestId,
        generation: u64,
        after: u64,
        ops: Vec<StepOp>,
        /// What this request and later ones need of release files, to be made ready meanwhile.
        early: Vec<Wanted>,
    },
    /// Only listens to a request that an earlier controller sent; `stop` lets no further op begin.
    Attach {
        request: RequestId,
        after: u64,
        stop: bool,
    },
    /// The running op comes to its end; none follows it.
    Cancel {
        request: RequestId,
    },
    /// This connection is new: a change of the network may stay.
    Confirm,
    /// Takes the agent's files off the node and ends it. Answered by `Observed` of nothing.
    Dismiss {
        generation: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromAgent {
    Welcome(Welcome),
    Facts(Box<NodeFacts>),
    Observed(Vec<Found>),
    Served(Output),
    Part {
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    Lease(LeaseAnswer),
    Event {
        request: RequestId,
        index: u64,
        event: AgentEvent,
    },
    Ended {
        request: RequestId,
        end: RequestEnd,
    },
    /// The agent could not do what was asked; the connection stays.
    Sorry(Failure),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    pub version: String,
    pub machine_id: String,
    pub boot_id: String,
    /// The agent process: events are numbered anew in each.
    pub process: String,
    /// A request that runs right now, and how many of its ops are behind it.
    pub running: Option<RequestId>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    Observed(Observed),
    Failed(Failure),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeaseAnswer {
    Granted { generation: u64, from: Option<String> },
    Held { by: String, age_ms: Option<u64>, op_runs: bool },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentEvent {
    Started {
        op: u32,
    },
    Finished {
        op: u32,
        outcome: Outcome,
        elapsed_ms: u64,
    },
    /// What a later op needs of this one. Comes before its `Finished`.
    Output {
        op: u32,
        output: Output,
    },
    /// What it says while it works.
    Telling {
        op: u32,
        telling: Telling,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Unchanged,
    Changed(Vec<String>),
    Failed {
        failure: Failure,
        /// Another try may help, and the op says that it does no harm.
        may_retry: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestEnd {
    Done,
    Failed,
    Cancelled,
    /// The agent was gone in the middle: its journal knows the outcomes that it replayed, not more.
    Interrupted,
    /// Nothing is known of this request on this node.
    Unknown,
    /// A newer lease fences this controller off.
    Fenced {
        generation: u64,
    },
}

/// Why talking to an agent failed.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("the connection closed")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(#[from] std::io::Error),
    #[error("a frame could not be read: {0}")]
    Garbled(#[from] rmp_serde::decode::Error),
    #[error("a frame could not be written: {0}")]
    Unwritable(#[from] rmp_serde::encode::Error),
}

pub type Wire<S> = Framed<S, LengthDelimitedCodec>;

pub fn wire<S: AsyncRead + AsyncWrite>(stream: S) -> Wire<S> {
    LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME).new_framed(stream)
}

pub fn encode<T: Serialize>(message: &T) -> Result<Bytes, FrameError> {
    let bytes = exposed(|| rmp_serde::to_vec_named(message))?;
    Ok(bytes.into())
}

pub fn decode<T: DeserializeOwned>(frame: &BytesMut) -> Result<T, FrameError> {
    Ok(rmp_serde::from_slice(frame)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ops::kubeadm::PlaceEncryption, secret::Sealed};

    #[test]
    fn secrets_travel_in_frames() {
        let op = Op::from(PlaceEncryption { config: Some(Sealed::new("key")) });
        let sent = ToAgent::Observe { ops: vec![op.clone()], later: Vec::new() };
        let bytes = encode(&sent).unwrap();
        let back: ToAgent = decode(&BytesMut::from(bytes.as_ref())).unwrap();
        assert_eq!(back, sent);
        assert!(!serde_json::to_string(&op).unwrap().contains("\"key\""));
    }
}
