//! The kubelet while kubeadm works: woken when what it waits for is there, and asked when it is the one
//! that fails.

use super::{Linux, command::Command};
use crate::ops::sys::{SysError, SysResult, Time, UnitChange, Units};

/// What it shows to the API server, once that has signed it.
const CERTIFICATE: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
/// How long it takes from its start to its first questions, and less.
const STARTS_MS: u64 = 300;
/// How much of its log is shown.
const LINES: usize = 5;

impl Linux {
    /// The kubelet of a new control plane has asked in vain until its own API server was there, each time
    /// after a longer pause: up to half a minute in which it runs no pod. One that starts now asks at once.
    pub(super) async fn wake_kubelet(&self) -> SysResult<()> {
        self.change_unit("kubelet.service", UnitChange::Restart).await
    }

    /// Beside a join, for the same reason: wakes the kubelet when the API server begins to answer, so that it
    /// asks for its certificate at once, and when it has that, so that it uses it at once. Ends then; what
    /// fails here only takes longer.
    pub(super) async fn hurry_kubelet(&self) -> SysResult<()> {
        while !self.api_answers().await {
            self.sleep_ms(200).await;
        }
        let mut woken_ms = 0;
        if !self.has(CERTIFICATE) {
            self.wake_kubelet().await?;
            woken_ms = self.now_ms();
        }
        while !self.has(CERTIFICATE) {
            self.sleep_ms(50).await;
        }
        // One that has hardly started has not asked for anything else yet.
        if self.now_ms() - woken_ms < STARTS_MS { Ok(()) } else { self.wake_kubelet().await }
    }

    /// What kubeadm waits for in vain is usually the kubelet's fault, which only its log tells.
    pub(super) async fn with_kubelet(&self, mut error: SysError) -> SysError {
        let log = Command::new("journalctl").args([
            "-u",
            "kubelet",
            "-n",
            "200",
            "-o",
            "cat",
            "--no-pager",
        ]);
        let text = log.run().await.map(|done| done.stdout).unwrap_or_default();
        error
            .output
            .extend(kubelet_errors(&text).into_iter().map(|line| format!("kubelet: {line}")));
        error
    }
}

/// The last errors in a kubelet's log, each once: it repeats some of them ten times a second. Without
/// time and place, which differ each time.
fn kubelet_errors(log: &str) -> Vec<String> {
    let errors = log.lines().rev().filter(|line| line.starts_with(['E', 'F']));
    let mut seen = std::collections::BTreeSet::new();
    let kind = |text: &str| text.split_once("\" ").map_or(text, |(kind, _)| kind).to_string();
    let mut last: Vec<String> = errors
        .filter_map(|line| line.split_once("] "))
        .filter(|(_, text)| seen.insert(kind(text)))
        .take(LINES)
        .map(|(_, text)| text.chars().take(600).collect())
        .collect();
    last.reverse();
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_the_kubelet_is_told_once() {
        let log = "I1128 1 a.go:1] \"fine\"\nE1128 15:09:44.6 7 b.go:2] \"no sandbox\" err=\"seccomp\"\n\
                   E1128 15:09:44.7 7 c.go:3] \"no node\" n=1\nE1128 15:09:44.8 7 c.go:3] \"no node\" n=2\n";
        assert_eq!(kubelet_errors(log), ["\"no sandbox\" err=\"seccomp\"", "\"no node\" n=2"]);
    }
}
