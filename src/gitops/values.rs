//! What Cilium's values must hold, and whether a values file does.
//!
//! Pure: what an inventory wants and a text. The values come from the repository and from nowhere else, since
//! what a bootstrapper added to them would be undone at the first sync; so a value that is missing
//! or contradicts is an error with the lines to commit, before anything is applied.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::yaml::{self, Entry, Node, Value};
use crate::{events::Failure, inventory::Inventory, names::Cidr};

pub use crate::inventory::LAN_PORT;

/// What of an inventory the values must agree with. It travels to the node that reads them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Must {
    pub host: String,
    pub vip: Option<Ipv4Addr>,
    pub port: u16,
    pub pod_cidr: Cidr,
    pub mtu: u16,
}

impl Must {
    pub fn of(inventory: &Inventory) -> Self {
        let endpoint = &inventory.cluster.endpoint;
        Self {
            host: endpoint.host.clone(),
            vip: endpoint.vip,
            port: endpoint.port,
            pod_cidr: inventory.cluster.pod_cidr,
            mtu: inventory.network.lan.mtu,
        }
    }
}

/// What one value must be.
struct Rule {
    path: &'static [&'static str],
    want: Want,
    because: &'static str,
}

enum Want {
    /// One of these texts, preferably the first.
    Text(Vec<String>),
    /// A boolean, and not a text that looks like one.
    True,
    Number(u64),
    /// A list of this one thing, or it alone.
    Only(String),
}

fn rules(must: &Must, root: Option<&Node>) -> Vec<Rule> {
    let mut hosts = vec![must.host.clone()];
    hosts.extend(must.vip.map(|vip| vip.to_string()));
    let mut rules = vec![
        Rule {
            path: &["k8sServiceHost"],
            want: Want::Text(hosts),
            because: "without kube-proxy, the API server is found by its endpoint, never by one node",
        },
        Rule {
            path: &["k8sServicePort"],
            want: Want::Number(must.port.into()),
            because: "it is the endpoint's port",
        },
        Rule {
            path: &["kubeProxyReplacement"],
            want: Want::True,
            because: "no kube-proxy is installed",
        },
        Rule {
            path: &["ipam", "operator", "clusterPoolIPv4PodCIDRList"],
            want: Want::Only(must.pod_cidr.to_string()),
            because: "it is the cluster's pod network; unset, Cilium takes all of 10.0.0.0/8",
        },
        Rule {
            path: &["devices"],
            want: Want::Only(LAN_PORT.into()),
            because: "pod traffic stays on the LAN port, and off Ceph's",
        },
        Rule {
            path: &["MTU"],
            want: Want::Number(must.mtu.into()),
            because: "it is the LAN's, and may not be guessed from another port",
        },
        Rule {
            path: &["gatewayAPI", "enabled"],
            want: Want::True,
            because: "its CRDs are installed, and Gateways stay Unknown without it",
        },
    ];
    // Where there is no Hubble, or it goes without TLS, nothing makes certificates.
    let off = |path: &[&str]| root.and_then(|r| r.at(path)).is_some_and(|e| says(&e.node, "false"));
    let made = !off(&["hubble", "enabled"])
        && !off(&["hubble", "tls", "enabled"])
        && !off(&["hubble", "tls", "auto", "enabled"]);
    if made {
        rules.push(Rule {
            path: &["hubble", "tls", "auto", "method"],
            want: Want::Text(vec!["cronJob".into(), "certmanager".into()]),
            because: "the default, `helm`, makes new certificates at every render",
        });
    }
    rules
}

/// Whether the values file does what the inventory says; `file` is what to call it.
pub fn check(must: &Must, file: &str, text: &str) -> Result<(), Failure> {
    let what = "check Cilium's values against the inventory";
    let documents = yaml::read(text).map_err(|e| {
        Failure::new(what, format!("{file}:{}: {}", e.line, e.why)).hint("it is not YAML; mend it")
    })?;
    let root = match documents.as_slice() {
        [] => None,
        [one] if one.is_null() => None,
        [one] if matches!(one.value, Value::Map(_)) => Some(one),
        [one] => {
            let why = format!("{file}:{}: it is no map of values", one.line);
            return Err(Failure::new(what, why));
        }
        [_, second, ..] => {
            let why =
                format!("{file}:{}: a second document: helm reads the first only", second.line);
            return Err(Failure::new(what, why));
        }
    };
    let (mut causes, mut lines) = (Vec::new(), String::new());
    for rule in rules(must, root) {
        let wrong = match root.and_then(|root| root.at(rule.path)) {
            None => format!("{file}: `{}` is missing", rule.path.join(".")),
            Some(entry) if rule.holds(&entry.node) => continue,
            Some(entry) => rule.contradiction(file, entry),
        };
        causes.push(format!("{wrong}: {}", rule.because));
        lines.push_str(&rule.lines());
    }
    if causes.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::new(what, String::new());
    failure.causes = causes;
    Err(failure.hint(format!("commit this to {file}:\n{}", lines.trim_end())))
}

fn says(node: &Node, word: &str) -> bool {
    matches!(&node.value, Value::Text { text, plain: true } if text.eq_ignore_ascii_case(word))
}

impl Rule {
    fn holds(&self, node: &Node) -> bool {
        match &self.want {
            Want::True => says(node, "true"),
            Want::Text(any) => node.text().is_some_and(|t| any.iter().any(|a| a == t)),
            // The chart takes a port as text too.
            Want::Number(number) => node.text().is_some_and(|t| *t == number.to_string()),
            Want::Only(one) => match &node.value {
                Value::Text { text, .. } => text == one,
                Value::List(items) => {
                    items.len() == 1 && items.iter().all(|i| i.text() == Some(one))
                }
                Value::Map(_) => false,
            },
        }
    }

    fn contradiction(&self, file: &str, entry: &Entry) -> String {
        let name = self.path.join(".");
        let is = match &entry.node.value {
            _ if entry.node.is_null() => "is empty".to_string(),
            Value::Text { text, plain: false } if matches!(self.want, Want::True) => {
                format!("is the text \"{text}\", not a boolean,")
            }
            Value::Text { text, .. } => format!("is `{text}`"),
            Value::List(items) => {
                let items: Vec<&str> = items.iter().map(|i| i.text().unwrap_or("...")).collect();
                format!("is [{}]", items.join(", "))
            }
            Value::Map(_) => "is a map".into(),
        };
        let must = match &self.want {
            Want::Text(any) => {
                any.iter().map(|a| format!("`{a}`")).collect::<Vec<_>>().join(" or ")
            }
            Want::True => "`true`".into(),
            Want::Number(number) => format!("`{number}`"),
            Want::Only(one) => format!("`{one}` alone"),
        };
        format!("{file}:{}: `{name}` {is} but must be {must}", entry.line)
    }

    /// What to commit.
    fn lines(&self) -> String {
        let mut text = String::new();
        for (depth, key) in self.path.iter().enumerate() {
            text.push_str(&format!("{}{key}:", "  ".repeat(depth)));
            text.push_str(if depth + 1 < self.path.len() { "\n" } else { "" });
        }
        let value = match &self.want {
            Want::Text(any) => any.first().cloned().unwrap_or_default(),
            Want::True => "true".into(),
            Want::Number(number) => number.to_string(),
            Want::Only(one) => {
                return format!("{text}\n{}- {one}\n", "  ".repeat(self.path.len()));
            }
        };
        format!("{text} {value}\n")
    }
}
