//! `slipway kubeconfig`: a client certificate for a named person. admin.conf stays where it is.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{
    args::{Global, Kubeconfig as Args},
    context,
    exit::{Error, Exit},
    output,
};
use crate::{
    engine,
    events::{Failure, Refusal},
    inventory::Inventory,
    kube::{
        certificate,
        config::{self, Access, Merged},
        request::{self, Request},
    },
    names::NodeName,
    ops::{Op, Output, access::MintUser, sys::UserCertificate},
    private,
    secret::Sealed,
    state::{self, Ledger, StateDir},
    ui::Mode,
};

const MOST_BYTES: u64 = 4 << 20;

pub fn kubeconfig(global: &Global, args: &Args) -> Result<Exit, Error> {
    let loaded = context::inventory(global)?;
    let inventory = &loaded.inventory;
    if args.group == "system:masters" {
        return Err(Error::text(
            Exit::Refused,
            "system:masters passes by every check of rights, and nobody can take it away again before the certificate ends",
            Some("kubeadm:cluster-admins may do as much, by a binding that can be removed: leave --group out".into()),
        ));
    }
    let name = name(args)?;
    let place = Place::find(args, inventory.simulated())?;
    // What cannot be written in the end is said before anybody is contacted.
    let draft = Access {
        name: inventory.cluster.name.to_string(),
        server: server(inventory),
        ca: String::new(),
        certificate: String::new(),
        key: Sealed::new(""),
    };
    place.merged(&draft, args.make_current)?;
    let Request { key, request } = request::make(&name, &args.group)
        .map_err(|why| Error::text(Exit::Failed, format!("cannot make a key: {why}"), None))?;
    let op = Op::from(MintUser { name: name.clone(), request, valid_s: args.valid });
    let dir = StateDir::at(&global.state_dir);
    let ledger = Ledger::fold(&state::read(&dir, &inventory.cluster.name)?);
    let fleet = context::fleet(global, &loaded, &dir, false)?;
    let nodes = context::control_planes(global, inventory)?;
    let served = engine::served(&fleet.connector, fleet.clock, &nodes, &op);
    let (session, made) = fleet
        .runtime
        .block_on(served)
        .map_err(|failures| Error::failures(failures, Some(context::command_line())))?;
    let Output::UserCertificate(UserCertificate { certificate, ca, ends_ms }) = made else {
        return Err(Error::text(Exit::Failed, "the agent made something else", None));
    };
    check_cluster(&ledger, &session.node, &ca)?;
    let access = Access { ca, certificate, key, ..draft };
    let written = place.write(&access, args.make_current)?;
    say(global, args, &name, &access, &place, &written, ends_ms);
    Ok(Exit::Done)
}

fn server(inventory: &Inventory) -> String {
    let endpoint = &inventory.cluster.endpoint;
    format!("https://{}:{}", endpoint.host, endpoint.port)
}

fn name(args: &Args) -> Result<String, Error> {
    let local = || context::user_and_home().0.map(|user| user.name);
    args.name.clone().or_else(local).ok_or_else(|| {
        Error::usage(
            "who it is for cannot be told: this user has no name",
            "name them: `slipway kubeconfig NAME`",
        )
    })
}

/// What the ledger knows of the cluster holds for whoever answers.
fn check_cluster(ledger: &Ledger, node: &NodeName, ca: &str) -> Result<(), Error> {
    let (Some(known), Some(found)) = (ledger.identity(), certificate::read(ca)) else {
        return Ok(());
    };
    if known.ca_fingerprint == found.fingerprint {
        return Ok(());
    }
    let short = |f: &str| f.get(..12).unwrap_or(f).to_string();
    let failure = Failure::new(
        "recognise the cluster",
        format!(
            "the ledger knows the CA {}, this node's is {}",
            short(&known.ca_fingerprint),
            short(&found.fingerprint)
        ),
    )
    .on(node)
    .refused(Refusal::Identity)
    .left("nothing was written")
    .hint("is this the right --state-dir for these machines?");
    Err(Error::failures(vec![failure], None))
}

/// Where it goes.
enum Place {
    /// Into a file with others; where it lies, links followed.
    Into {
        shown: PathBuf,
        file: PathBuf,
    },
    Apart {
        shown: PathBuf,
        file: PathBuf,
    },
    /// A simulated cluster is in nobody's way.
    Nowhere,
}

fn unusable(path: &Path, what: &str, error: &io::Error) -> Error {
    Error::text(Exit::Failed, format!("cannot {what} `{}`: {error}", path.display()), None)
}

impl Place {
    fn find(args: &Args, simulated: bool) -> Result<Self, Error> {
        let target = |path: &Path| private::target(path).map_err(|e| unusable(path, "follow", &e));
        if let Some(out) = &args.out {
            return Ok(Place::Apart { shown: out.clone(), file: target(out)? });
        }
        if simulated {
            return Ok(Place::Nowhere);
        }
        let named = std::env::var_os("KUBECONFIG").unwrap_or_default();
        let first = std::env::split_paths(&named).find(|path| !path.as_os_str().is_empty());
        let home = || context::user_and_home().1.map(|home| home.join(".kube/config"));
        let shown = first.or_else(home).ok_or_else(|| {
            Error::usage("this user has no home", "name a file with --out, or set KUBECONFIG")
        })?;
        Ok(Place::Into { file: target(&shown)?, shown })
    }

    /// The file as it will be; None where none is written.
    fn merged(&self, access: &Access, make_current: bool) -> Result<Option<Merged>, Error> {
        let (shown, file) = match self {
            Place::Nowhere => return Ok(None),
            Place::Apart { .. } => {
                let text = config::whole(access);
                return Ok(Some(Merged { text, was: None, is_current: true }));
            }
            Place::Into { shown, file } => (shown, file),
        };
        let text = match read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(unusable(shown, "read", &error)),
        };
        config::merge(&text, access, make_current).map(Some).map_err(|found| {
            Error::usage(
                format!("`{}`, line {}: {}", shown.display(), found.line, found.why),
                "it was left as it is; mend it, or write a file apart with --out FILE",
            )
        })
    }

    /// Read once more, since it may have changed while the cluster was asked.
    fn write(&self, access: &Access, make_current: bool) -> Result<Option<Merged>, Error> {
        let (Place::Into { shown, file } | Place::Apart { shown, file }) = self else {
            return Ok(None);
        };
        let _lock = match self {
            Place::Into { .. } => Some(private::Lock::of(file).map_err(|error| {
                if error.kind() != io::ErrorKind::AlreadyExists {
                    return unusable(shown, "lock", &error);
                }
                Error::text(
                    Exit::Failed,
                    format!("another program is writing `{}`", shown.display()),
                    Some(format!("if none is, remove {}.lock", file.display())),
                )
            })?),
            _ => None,
        };
        let merged = self.merged(access, make_current)?;
        if let Some(merged) = &merged {
            private::replace(file, merged.text.as_bytes())
                .map_err(|error| unusable(shown, "write", &error))?;
        }
        Ok(merged)
    }

    fn shown(&self) -> Option<&Path> {
        match self {
            Place::Into { shown, .. } | Place::Apart { shown, .. } => Some(shown),
            Place::Nowhere => None,
        }
    }
}

fn read(file: &Path) -> io::Result<String> {
    let meta = std::fs::metadata(file)?;
    if !meta.is_file() || meta.len() > MOST_BYTES {
        return Err(io::Error::other("it is no file, or too large for a kubeconfig"));
    }
    std::fs::read_to_string(file)
}

fn say(
    global: &Global,
    args: &Args,
    name: &str,
    access: &Access,
    place: &Place,
    written: &Option<Merged>,
    ends_ms: u64,
) {
    let simulated = matches!(place, Place::Nowhere);
    let is_current = written.as_ref().is_some_and(|w| w.is_current);
    let cluster = &access.name;
    if context::mode(global) == Mode::Json {
        output::json(&json!({
            "version": 1, "name": name, "group": args.group, "cluster": cluster,
            "server": access.server, "ends_ms": ends_ms, "file": place.shown(),
            "current": is_current,
        }));
        return;
    }
    output::out(&format!(
        "A client certificate of {cluster} for {name}, in group {}, valid until {}.\n",
        args.group,
        state::utc(ends_ms)
    ));
    let text = match (place, written) {
        (Place::Into { shown, .. }, Some(merged)) => {
            let was = merged.was.as_ref();
            let was = was.map(|was| format!(" `{cluster}` stood for {was} there before."));
            let current = if is_current {
                "which is the current one".to_string()
            } else {
                format!("to be used with `kubectl --context {cluster}`")
            };
            format!(
                "It is in {} as context {cluster}, {current}.{}\n",
                shown.display(),
                was.unwrap_or_default()
            )
        }
        (Place::Apart { shown, .. }, _) => {
            format!("It is in {0}: `kubectl --kubeconfig {0} get nodes`.\n", shown.display())
        }
        _ if simulated => {
            "SIMULATED: nothing was written; --out FILE writes what it would be.\n".into()
        }
        _ => String::new(),
    };
    output::out(&text);
}
