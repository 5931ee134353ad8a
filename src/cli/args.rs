//! The arguments.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{
    names::{NodeName, PhaseName, Serial, Version},
    ui::Mode,
};

/// Takes bare machines to a highly available, GitOps-run Kubernetes cluster, and looks after it.
#[derive(Debug, Parser)]
#[command(name = "slipway", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The inventory; `sim` is the built-in simulated fleet [env: SLIPWAY_INVENTORY; else ./slipway.toml]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub inventory: Option<PathBuf>,
    /// Where the ledger, logs and snapshots are kept
    #[arg(long, global = true, value_name = "DIR", default_value = ".slipway")]
    pub state_dir: PathBuf,
    /// How to show what happens: human, plain or json [default: human on a terminal, else plain]
    #[arg(long, global = true, value_name = "MODE")]
    pub output: Option<Mode>,
    /// Only these nodes
    #[arg(long, global = true, value_name = "NODE,...", value_delimiter = ',')]
    pub on: Vec<NodeName>,
    /// How many nodes to work on at the same time
    #[arg(long, global = true, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub parallel: u16,
    /// Go on without asking; never approves the loss of a disk
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Show more: what holds and what ops print; twice, the bookkeeping too
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Remember the host keys of nodes that are not known yet, instead of refusing them
    #[arg(long, global = true)]
    pub accept_new_host_keys: bool,
    /// Write the log here instead of the state directory
    #[arg(long, global = true, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// Playbooks of your own, in front of the built-in ones
    #[arg(long, global = true, value_name = "DIR")]
    pub playbooks: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show what bootstrap would change, as diffs; changes nothing
    Plan(Change),
    /// Fresh hardware to hand-off, resumable at any point
    Bootstrap(Bootstrap),
    /// One more node of the inventory: a worker or another control plane
    JoinNode(OneNode),
    /// Rolling Kubernetes upgrade, one node at a time, behind health gates
    Upgrade(Upgrade),
    /// One node leaves the cluster, cleanly
    RemoveNode(OneNode),
    /// Hardware goes back to bare; disks only when named
    Reset(Reset),
    /// The cluster at a glance
    Status,
    /// Read-only checks, with remedies
    Doctor,
    /// etcd: its members and data
    Etcd(Etcd),
    /// A client certificate of your own, written into your kubeconfig
    Kubeconfig(Kubeconfig),
    /// Everything that machines without internet need, in one file
    Bundle(Bundle),
    /// What was done, by whom, and how it ended
    Ledger(Ledger),
    /// The playbooks: which steps run where, in which order
    Playbook(Playbook),
    /// The Git repository that takes the cluster over
    Gitops(Gitops),
    /// JSON schemas, for editors
    Schema(Schema),
    /// What runs on the nodes
    #[command(hide = true, subcommand)]
    Agent(Agent),
    /// Completions for a shell
    #[command(hide = true)]
    Completions(Completions),
}

/// What every changing verb takes.
#[derive(Debug, Clone, Args)]
pub struct Change {
    /// Stop after this phase
    #[arg(long, value_name = "PHASE")]
    pub until: Option<PhaseName>,
    /// Run only if the plan is this one
    #[arg(long, value_name = "HASH")]
    pub expect_plan: Option<String>,
    /// Take over the nodes from another operator; never while an op of theirs runs
    #[arg(long)]
    pub take_lease: bool,
    /// Everything on this disk may be lost, in this run (repeatable)
    #[arg(long, value_name = "SERIAL")]
    pub wipe_disk: Vec<Serial>,
    /// The OSD of this Ceph cluster on this disk may be lost, even if the cluster lives (repeatable)
    #[arg(long, value_name = "SERIAL=FSID", value_parser = serial_and_fsid)]
    pub destroy_osd: Vec<(Serial, String)>,
    /// Take release files and images from this bundle, and fetch nothing
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// The hand-off is done when these are well; the others are shown, but not waited for
    #[arg(long, value_name = "APP,...", value_delimiter = ',')]
    pub wait_for: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub struct Bootstrap {
    /// Show the plan and change nothing
    #[arg(long)]
    pub plan: bool,
    #[command(flatten)]
    pub change: Change,
}

#[derive(Debug, Clone, Args)]
pub struct Reset {
    /// Only end the agent and remove its files; cluster, host and disks stay as they are
    #[arg(long, conflicts_with_all = ["plan", "until", "expect_plan", "wipe_disk", "destroy_osd", "bundle"])]
    pub agent: bool,
    /// Show the plan and change nothing
    #[arg(long)]
    pub plan: bool,
    #[command(flatten)]
    pub change: Change,
}

#[derive(Debug, Clone, Args)]
pub struct OneNode {
    /// The node, as the inventory names it
    pub name: NodeName,
    /// Show the plan and change nothing
    #[arg(long)]
    pub plan: bool,
    #[command(flatten)]
    pub change: Change,
}

#[derive(Debug, Clone, Args)]
pub struct Upgrade {
    /// The version to go to: at most one minor ahead
    #[arg(long, value_name = "VERSION")]
    pub to: Version,
    /// Show the plan and change nothing
    #[arg(long)]
    pub plan: bool,
    #[command(flatten)]
    pub change: Change,
}

#[derive(Debug, Clone, Args)]
pub struct Kubeconfig {
    /// Who it is for, as the cluster will call them [default: your user name]
    #[arg(value_parser = person)]
    pub name: Option<String>,
    /// What they may do hangs on it: kubeadm binds this one to cluster-admin
    #[arg(long, value_name = "GROUP", default_value = "kubeadm:cluster-admins")]
    pub group: String,
    /// How long the certificate is valid: `30d`, `12h`; at most 365 days, for none can be called back
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = valid_s)]
    pub valid: u32,
    /// Write a file of its own instead [default: the first of $KUBECONFIG, or ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Make it the current context, whichever is it now
    #[arg(long = "use", conflicts_with = "out")]
    pub make_current: bool,
}

#[derive(Debug, Clone, Args)]
pub struct Etcd {
    #[command(subcommand)]
    pub what: EtcdVerb,
}

#[derive(Debug, Clone, Subcommand)]
pub enum EtcdVerb {
    /// Members, versions, sizes, leader, alarms, and whether all hold the same; exit 1 if not healthy
    Status,
    /// Take one, with the PKI and the encryption key, into one encrypted file off the nodes
    Snapshot {
        /// Where to [default: the state directory's `snapshots`]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Read a snapshot through, and check everything in it
    Verify {
        file: PathBuf,
        /// The secret key [default: the state directory's `snapshots/identity.txt`]
        #[arg(long, value_name = "FILE")]
        identity: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Args)]
pub struct Bundle {
    #[command(subcommand)]
    pub what: BundleVerb,
}

#[derive(Debug, Clone, Subcommand)]
pub enum BundleVerb {
    /// Make one for the inventory's nodes and version; what is missing is fetched first
    Create {
        /// The bundle: a zstd-packed tar archive
        file: PathBuf,
        /// These packages of the distribution instead of fetched ones: a pacman repository, *.pkg.tar.zst and their database
        #[arg(long, value_name = "DIR")]
        packages: Option<PathBuf>,
        /// No packages of the distribution
        #[arg(long, conflicts_with_all = ["packages", "leave_out"])]
        no_packages: bool,
        /// Nothing but packages of the distribution
        #[arg(long, conflicts_with = "no_packages")]
        only_packages: bool,
        /// Packages that the machines have already: neither these nor what only they need
        #[arg(long, value_name = "NAME,...", value_delimiter = ',', conflicts_with = "packages")]
        leave_out: Vec<String>,
    },
    /// Read one through, check everything in it, and show what that is
    Verify { file: PathBuf },
}

#[derive(Debug, Clone, Args)]
pub struct Ledger {
    #[command(subcommand)]
    pub what: LedgerVerb,
}

#[derive(Debug, Clone, Subcommand)]
pub enum LedgerVerb {
    /// Every record, a line each
    Show,
    /// Every run, a row each
    History,
}

#[derive(Debug, Clone, Args)]
pub struct Playbook {
    #[command(subcommand)]
    pub what: PlaybookVerb,
}

#[derive(Debug, Clone, Subcommand)]
pub enum PlaybookVerb {
    /// The playbooks there are
    List {
        /// Also every step that a playbook may name
        #[arg(long)]
        steps: bool,
    },
    /// One playbook, checked, with what its steps do
    Show { name: String },
    /// Write the built-in playbooks to a directory, to be edited
    Eject {
        dir: PathBuf,
        /// Overwrite files that differ
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Clone, Args)]
pub struct Gitops {
    #[command(subcommand)]
    pub what: GitopsVerb,
}

#[derive(Debug, Clone, Subcommand)]
pub enum GitopsVerb {
    /// Write a starter repository for this inventory; again, it changes only what nobody edited
    Init(GitopsInit),
    /// Make a deploy key for the repository, and print its public half; one that is there is kept
    Key(GitopsKey),
    /// How to log in to Argo CD for the first time; shown once
    Password(GitopsPassword),
}

#[derive(Debug, Clone, Args)]
pub struct GitopsKey {
    /// Where the private half goes [default: gitops.access.ssh_key, or the state directory's `deploy-key`]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct GitopsPassword {
    /// Although it was shown before
    #[arg(long)]
    pub again: bool,
}

#[derive(Debug, Clone, Args)]
pub struct GitopsInit {
    /// Where to: a new directory, or a repository of yours
    pub dir: PathBuf,
    /// Addresses of the LAN that MetalLB may give away (repeatable; remembered)
    #[arg(long, value_name = "FROM-TO")]
    pub metallb_pool: Vec<String>,
    /// Keep this release manifest of Argo CD in the repository, instead of its address
    #[arg(long, value_name = "FILE")]
    pub argocd_manifest: Option<PathBuf>,
    /// The same for Flux
    #[arg(long, value_name = "FILE")]
    pub flux_manifest: Option<PathBuf>,
    /// The same for the Gateway API's CRDs
    #[arg(long, value_name = "FILE")]
    pub gateway_api_manifest: Option<PathBuf>,
    /// Write nothing; exit 3 if something would change
    #[arg(long)]
    pub check: bool,
}

#[derive(Debug, Clone, Args)]
pub struct Schema {
    #[arg(value_parser = ["inventory", "playbook"])]
    pub what: String,
}

#[derive(Debug, Clone, Args)]
pub struct Completions {
    pub shell: clap_complete::Shell,
}

/// A certificate's common name has at most 64 letters.
fn person(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().count() > 64 || text.chars().any(char::is_control) {
        return Err("a name has 1 to 64 letters".into());
    }
    if text.starts_with("system:") {
        return Err("names that begin with `system:` are Kubernetes' own".into());
    }
    Ok(text.into())
}

/// Seconds of `30d`, `12h` or `90m`.
fn valid_s(text: &str) -> Result<u32, String> {
    const DAY_S: u32 = 86_400;
    let unit = match text.chars().last() {
        Some('d') => DAY_S,
        Some('h') => 3600,
        Some('m') => 60,
        _ => return Err("is no time: write `30d`, `12h` or `90m`".into()),
    };
    let count: u32 = text[..text.len() - 1].parse().map_err(|_| "is no time: write `30d`")?;
    match count.checked_mul(unit) {
        Some(seconds) if (600..=365 * DAY_S).contains(&seconds) => Ok(seconds),
        _ => Err("a certificate is valid for 10 minutes to 365 days".into()),
    }
}

fn serial_and_fsid(text: &str) -> Result<(Serial, String), String> {
    let (serial, fsid) = text.split_once('=').ok_or("is not SERIAL=FSID")?;
    let serial = serial.parse().map_err(|e| format!("serial `{serial}` {e}"))?;
    let digits = fsid.chars().filter(|c| c.is_ascii_hexdigit()).count();
    if fsid.len() != 36 || digits != 32 {
        return Err(format!("`{fsid}` is not a Ceph filesystem id (a UUID)"));
    }
    Ok((serial, fsid.to_ascii_lowercase()))
}

#[derive(Debug, Clone, Subcommand)]
pub enum Agent {
    /// Connects standard input and output with this node's agent, and starts it
    Connect,
    /// The agent itself
    Serve {
        /// Leave the session that started it, where no systemd does that
        #[arg(long)]
        detach: bool,
        /// End after so many idle seconds
        #[arg(long, default_value_t = 600)]
        idle_s: u64,
    },
    /// Takes a file from standard input, packed with zstd; says so when it is ready for it
    Receive {
        name: String,
        sha256: String,
        /// Not needed where this file is
        #[arg(long, value_name = "FILE")]
        installed: Option<String>,
    },
}
