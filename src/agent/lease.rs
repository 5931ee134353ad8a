//! Who may change this node: one operator at a time, by a lease with a generation.
//!
//! The lease is a file on the node. Its age is told by the node's own uptime, so a wrong wall clock
//! can neither keep it alive nor kill it.

use serde::{Deserialize, Serialize};

use super::frames::LeaseAnswer;
use crate::ops::sys::{Sys, SysError, SysResult};

const PATH: &str = "/var/lib/slipway/lease.json";

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Lease {
    generation: u64,
    /// None once released.
    holder: Option<String>,
    boot_id: String,
    taken_at_uptime_ms: u64,
}

async fn load(sys: &dyn Sys) -> SysResult<Lease> {
    match sys.read(PATH).await? {
        None => Ok(Lease::default()),
        // A write is atomic, so a file that cannot be read was not written by an agent.
        Some(file) => serde_json::from_slice(&file.content).map_err(|error| {
            SysError::other(format!(
                "{PATH} is not a lease: {error}; remove it if nobody works on this node"
            ))
        }),
    }
}

async fn save(sys: &dyn Sys, lease: &Lease) -> SysResult<()> {
    let json = serde_json::to_vec(lease).map_err(|e| SysError::other(e.to_string()))?;
    sys.write(PATH, &json, 0o600).await
}

/// The generation that requests must carry, or more.
pub async fn generation(sys: &dyn Sys) -> SysResult<u64> {
    Ok(load(sys).await?.generation)
}

pub async fn take(
    sys: &dyn Sys,
    holder: &str,
    force: bool,
    op_runs: bool,
) -> SysResult<LeaseAnswer> {
    let lease = load(sys).await?;
    let boot_id = sys.boot_id().await?;
    let other = lease.holder.as_ref().filter(|h| *h != holder);
    if let Some(by) = other
        && (!force || op_runs)
    {
        let age_ms = (lease.boot_id == boot_id)
            .then(|| sys.uptime_ms().saturating_sub(lease.taken_at_uptime_ms));
        return Ok(LeaseAnswer::Held { by: by.clone(), age_ms, op_runs });
    }
    let from = other.cloned();
    let generation = lease.generation + 1;
    let taken_at_uptime_ms = sys.uptime_ms();
    save(sys, &Lease { generation, holder: Some(holder.into()), boot_id, taken_at_uptime_ms })
        .await?;
    Ok(LeaseAnswer::Granted { generation, from })
}

/// Only by who holds it: an older generation has nothing to release.
pub async fn release(sys: &dyn Sys, generation: u64) -> SysResult<()> {
    let lease = load(sys).await?;
    if lease.generation == generation && lease.holder.is_some() {
        save(sys, &Lease { holder: None, ..lease }).await?;
    }
    Ok(())
}
