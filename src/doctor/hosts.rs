//! The machines themselves: whether they answer, their OS, size and clocks.

use super::{Check, Exam, Finding, Severity, Verdict, exam::NONE_ANSWERED};
use crate::inventory::Os;

const FAMILY: &str = "hosts";

pub(super) const REACHABLE: Check = Check {
    id: "nodes-reachable",
    family: FAMILY,
    severity: Severity::Error,
    about: "every node answers over SSH",
    remedy: "check power, cable, address and key of the node: `ssh` must reach it with the same user",
    run: |exam| {
        if exam.facts.is_empty() && exam.unreachable.is_empty() {
            return Verdict::Skipped("no node was asked".into());
        }
        let found = exam.unreachable.iter().map(|(node, failure)| {
            let mut text = failure.causes.join(": ");
            if let Some(hint) = &failure.hint {
                text.push_str(&format!(" (hint: {hint})"));
            }
            Finding::on(node, text)
        });
        Verdict::of(found.collect())
    },
};

pub(super) const OS: Check = Check {
    id: "os",
    family: FAMILY,
    severity: Severity::Error,
    about: "the operating system is what the inventory says, on x86-64",
    remedy: "install that system, or set `os` of the node in the inventory",
    run: |exam| {
        exam.each_answering(|node, facts| {
            let wanted = os_id(node.os);
            if facts.os.id != wanted {
                return Some(format!("runs `{}`, the inventory says `{wanted}`", facts.os.id));
            }
            (facts.os.arch != "x86_64")
                .then(|| format!("is {}, x86_64 is what Slipway carries", facts.os.arch))
        })
    },
};

fn os_id(os: Os) -> &'static str {
    match os {
        Os::Arch => "arch",
        Os::Debian => "debian",
        Os::Talos => "talos",
    }
}

pub(super) const CGROUP: Check = Check {
    id: "cgroup-v2",
    family: FAMILY,
    severity: Severity::Error,
    about: "control groups are version 2",
    remedy: "drop `systemd.unified_cgroup_hierarchy=0` and its like from the kernel's command line \
             and reboot; the kubelet does not start on version 1 since 1.35",
    run: |exam| {
        exam.each_answering(|_, facts| {
            (facts.os.cgroup != 2).then(|| format!("has cgroup version {}", facts.os.cgroup))
        })
    },
};

pub(super) const KERNEL: Check = Check {
    id: "kernel-is-installed",
    family: FAMILY,
    severity: Severity::Error,
    about: "the running kernel is the installed one, so that modules can be loaded",
    remedy: "reboot the node: `slipway bootstrap` does so before it joins, `slipway upgrade --os` \
             when it is a member",
    run: |exam| {
        let telling = exam.answered().filter(|(_, facts)| facts.os.kernel_installed.is_some());
        let none = "no node tells which kernel is installed";
        Exam::each(telling, none, |_, facts| {
            let running = &facts.os.kernel_running;
            let installed = facts.os.kernel_installed.as_ref().filter(|i| *i != running);
            installed
                .map(|i| format!("runs kernel {running}, {i} is installed"))
                .into_iter()
                .collect()
        })
    },
};

/// kubeadm's own floor.
const MIN_CPUS: u32 = 2;
const MIN_MEMORY_MB: u64 = 1_700;

pub(super) const SIZE: Check = Check {
    id: "cpus-and-memory",
    family: FAMILY,
    severity: Severity::Error,
    about: "CPUs and memory are enough for a Kubernetes node",
    remedy: "use a larger machine: kubeadm wants 2 CPUs and 1700 MB at the least",
    run: |exam| {
        Exam::each(exam.answered(), NONE_ANSWERED, |_, facts| {
            let mut wrong = Vec::new();
            if facts.cpus < MIN_CPUS {
                wrong.push(format!("{} CPU, {MIN_CPUS} are wanted", facts.cpus));
            }
            if facts.memory_mb < MIN_MEMORY_MB {
                wrong.push(format!(
                    "{} MB of memory, {MIN_MEMORY_MB} MB are wanted",
                    facts.memory_mb
                ));
            }
            wrong
        })
    },
};

/// A machine that was sold with 16 GB shows less: firmware and graphics keep some of it.
const CEPH_MEMORY_MB: u64 = 14_500;

pub(super) const CEPH_MEMORY: Check = Check {
    id: "memory-for-ceph",
    family: FAMILY,
    severity: Severity::Warning,
    about: "nodes with Ceph disks have 16 GB of memory or more",
    remedy: "lower `osd_memory_target` in Rook's values, or add memory: an OSD takes 4 GB by default",
    run: |exam| {
        let ceph = exam.answered().filter(|(node, _)| !node.disks.ceph.is_empty());
        Exam::each(ceph, "no node that answered has Ceph disks", |node, facts| {
            let short = facts.memory_mb < CEPH_MEMORY_MB;
            let gb = facts.memory_mb as f64 / 1000.0;
            let osds = node.disks.ceph.len();
            short
                .then(|| format!("{gb:.1} GB of memory for {}", crate::ui::count(osds, "OSD")))
                .into_iter()
                .collect()
        })
    },
};

/// Images of a control plane, etcd, and room to breathe.
const VAR_FREE_MB: u64 = 10_000;

pub(super) const VAR_FREE: Check = Check {
    id: "var-free",
    family: FAMILY,
    severity: Severity::Error,
    about: "there is room under /var",
    remedy: "free space under /var (`du -xh /var | sort -h | tail`): at 15 % free the kubelet begins \
             to delete images, then pods",
    run: |exam| {
        exam.each_answering(|_, facts| {
            let free = facts.var_free_mb;
            (free < VAR_FREE_MB)
                .then(|| format!("{free} MB free under /var, {VAR_FREE_MB} MB are wanted"))
        })
    },
};

pub(super) const HOSTNAME: Check = Check {
    id: "hostname",
    family: FAMILY,
    severity: Severity::Error,
    about: "members carry the names that the cluster knows them by",
    remedy: "set it back (`hostnamectl hostname NAME`): a kubelet that restarts under another name \
             is another node",
    run: |exam| {
        exam.each_member(|node, facts| {
            let differs = facts.hostname != node.name.as_str();
            differs.then(|| format!("its hostname is `{}`", facts.hostname)).into_iter().collect()
        })
    },
};

pub(super) const CLOCK_SYNCHRONISED: Check = Check {
    id: "clock-synchronised",
    family: FAMILY,
    severity: Severity::Error,
    about: "the clocks of the cluster's nodes are synchronised",
    remedy: "`timedatectl timesync-status` on the node says why not; `ntp` in [network.lan] names \
             other servers",
    run: |exam| {
        let none = "no node is in a cluster yet";
        Exam::each(exam.members(), none, |_, facts| {
            let wrong = !facts.clock.synchronised;
            wrong.then(|| "its clock is not synchronised".to_string()).into_iter().collect()
        })
    },
};

/// A machine fresh from the installer synchronises nothing: bootstrap turns that on.
pub(super) const CLOCK_TO_COME: Check = Check {
    id: "clock-to-come",
    family: FAMILY,
    severity: Severity::Warning,
    about: "the clocks of nodes that are in no cluster yet are synchronised already",
    remedy: "nothing has to be done: `slipway bootstrap` turns synchronisation on, and waits for it",
    run: |exam| {
        let none = "every node is in the cluster";
        Exam::each(exam.outsiders(), none, |_, facts| {
            let wrong = !facts.clock.synchronised;
            wrong.then(|| "its clock is not synchronised".to_string()).into_iter().collect()
        })
    },
};

/// etcd complains from one second on; certificates and leases want better.
const MAX_SKEW_MS: u64 = 500;

pub(super) const CLOCK_SKEW: Check = Check {
    id: "clock-skew",
    family: FAMILY,
    severity: Severity::Error,
    about: "the nodes' clocks agree within 500 ms",
    remedy: "give all nodes the same time servers (`ntp` in [network.lan]); a clock that drifts \
             again may have an empty CMOS battery",
    run: |exam| {
        let mut skews: Vec<_> =
            exam.answered().map(|(node, facts)| (facts.clock.skew_ms, &node.name)).collect();
        skews.sort_unstable();
        let ([(low, behind), .., (high, ahead)], Some((middle, _))) =
            (skews.as_slice(), skews.get(skews.len() / 2))
        else {
            return Verdict::Skipped("clocks are compared between two nodes or more".into());
        };
        let apart = high.abs_diff(*low);
        if apart <= MAX_SKEW_MS {
            return Verdict::Passed;
        }
        // Who is off is the one further from the middle; between two, nobody can say.
        let off = if skews.len() == 2 {
            None
        } else if high.abs_diff(*middle) > middle.abs_diff(*low) {
            Some(*ahead)
        } else {
            Some(*behind)
        };
        let text = format!("{ahead} is {apart} ms ahead of {behind}");
        Verdict::of(vec![Finding { node: off.cloned(), text }])
    },
};
