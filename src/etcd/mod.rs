//! etcd, through its own JSON gateway: members, status, hashes, snapshots. Numbers of members are
//! written the way etcdctl writes them, in hexadecimal.
//!
//! Must not know what is decided from it.

pub mod report;
pub mod sum;
pub mod wal;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use self::report::Hash;
use crate::https::{Answer, Https, Trouble};

pub const PORT: u16 = 2379;

pub struct Etcd {
    https: Https,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdMember {
    pub id: String,
    /// Empty until it has started for the first time.
    pub name: String,
    /// Addresses of its peer URLs, without scheme and port.
    pub peers: Vec<String>,
    pub clients: Vec<String>,
    pub learner: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub version: String,
    pub member: String,
    pub cluster: String,
    /// None while there is no leader.
    pub leader: Option<String>,
    pub learner: bool,
    pub revision: u64,
    pub db_bytes: u64,
    /// Without the room that deleted keys have left in it.
    pub used_bytes: u64,
    /// What the member itself finds wrong.
    pub errors: Vec<String>,
}

/// The gateway writes 64-bit numbers as strings, and leaves out those that are zero.
fn number(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.parse().unwrap_or(0),
        other => other.as_u64().unwrap_or(0),
    }
}

fn id(value: &Value) -> String {
    format!("{:x}", number(value))
}

/// The decimal form that the gateway reads.
fn asked(id: &str) -> Answer<String> {
    u64::from_str_radix(id, 16)
        .map(|n| n.to_string())
        .map_err(|_| Trouble::Other(format!("{id} is no number of a member")))
}

/// `https://10.0.0.1:2380` is `10.0.0.1`.
fn host(url: &Value) -> Option<String> {
    let rest = url.as_str()?.split_once("://")?.1;
    Some(rest.rsplit_once(':').map_or(rest, |(host, _)| host).to_string())
}

impl Etcd {
    pub fn at(https: Https) -> Self {
        Self { https }
    }

    async fn call(&self, path: &str, body: Value) -> Answer<Value> {
        self.https.post(&format!("/v3/{path}"), &body).await
    }

    pub async fn status(&self) -> Answer<Status> {
        let said = self.call("maintenance/status", json!({})).await?;
        let leader = id(&said["leader"]);
        Ok(Status {
            version: said["version"].as_str().unwrap_or_default().to_string(),
            member: id(&said["header"]["member_id"]),
            cluster: id(&said["header"]["cluster_id"]),
            leader: (leader != "0").then_some(leader),
            learner: said["isLearner"].as_bool().unwrap_or(false),
            revision: number(&said["header"]["revision"]),
            db_bytes: number(&said["dbSize"]),
            used_bytes: number(&said["dbSizeInUse"]),
            errors: {
                let errors = said["errors"].as_array().into_iter().flatten();
                errors.filter_map(|e| e.as_str()).map(str::to_string).collect()
            },
        })
    }

    pub async fn members(&self) -> Answer<Vec<EtcdMember>> {
        self.listed(true).await
    }

    /// As this member has it, which need not be the newest: also where there is no quorum.
    pub async fn members_here(&self) -> Answer<Vec<EtcdMember>> {
        self.listed(false).await
    }

    async fn listed(&self, linearizable: bool) -> Answer<Vec<EtcdMember>> {
        let asked = json!({ "linearizable": linearizable });
        let said = self.call("cluster/member/list", asked).await?;
        let hosts = |urls: &Value| urls.as_array().into_iter().flatten().filter_map(host).collect();
        let members = said["members"].as_array().into_iter().flatten();
        Ok(members
            .map(|m| EtcdMember {
                id: id(&m["ID"]),
                name: m["name"].as_str().unwrap_or_default().to_string(),
                peers: hosts(&m["peerURLs"]),
                clients: hosts(&m["clientURLs"]),
                learner: m["isLearner"].as_bool().unwrap_or(false),
            })
            .collect())
    }

    /// Of all keys up to a revision; members that agree, and have compacted alike, give the same.
    pub async fn hash(&self, revision: u64) -> Answer<Hash> {
        let said =
            self.call("maintenance/hash", json!({ "revision": revision.to_string() })).await?;
        Ok(Hash { of: number(&said["hash"]), compacted: number(&said["compact_revision"]) })
    }

    /// `NOSPACE`, `CORRUPT`: each with the member that raised it.
    pub async fn alarms(&self) -> Answer<Vec<(String, String)>> {
        let said = self.call("maintenance/alarm", json!({ "action": "GET" })).await?;
        let alarms = said["alarms"].as_array().into_iter().flatten();
        Ok(alarms
            .map(|a| (id(&a["memberID"]), a["alarm"].as_str().unwrap_or("unknown").to_string()))
            .collect())
    }

    pub async fn remove(&self, member: &str) -> Answer<()> {
        self.call("cluster/member/remove", json!({ "ID": asked(member)? })).await.map(drop)
    }

    pub async fn promote(&self, member: &str) -> Answer<()> {
        self.call("cluster/member/promote", json!({ "ID": asked(member)? })).await.map(drop)
    }

    /// What is stored under a key, as it lies there.
    pub async fn value(&self, key: &str) -> Answer<Option<Vec<u8>>> {
        let said = self.call("kv/range", json!({ "key": STANDARD.encode(key) })).await?;
        let value = said["kvs"][0]["value"].as_str().map(|text| STANDARD.decode(text));
        value.transpose().map_err(|e| Trouble::Other(e.to_string()))
    }

    /// The database as it is at one moment, part by part; etcd's own checksum ends it.
    pub async fn snapshot(&self) -> Answer<reqwest::Response> {
        self.https.stream("/v3/maintenance/snapshot", &json!({})).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_the_gateway_writes_them() {
        assert_eq!(id(&json!("10276657743932975437")), "8e9e05c52164694d");
        assert_eq!(id(&json!(null)), "0");
        assert_eq!(asked("8e9e05c52164694d").unwrap(), "10276657743932975437");
        assert!(asked("node-a").is_err());
        assert_eq!(host(&json!("https://10.0.0.1:2380")).as_deref(), Some("10.0.0.1"));
        assert_eq!(host(&json!("nonsense")), None);
    }
}
