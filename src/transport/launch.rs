//! Getting the agent to run on a node: found by its hash, pushed when it is not there.

use std::sync::Arc;

use super::{
    auth::Ask,
    dial::Line,
    exec::Remote,
    push::{Image, PLACES, push_agent},
    shell::{Begun, Shell, Sudo, as_root, ended, printed, vanished},
};
use crate::{agent::frames::PREAMBLE, events::Failure};

const WHAT: &str = "start the agent";
/// Of a script that did not find the agent.
pub const ABSENT: u32 = 97;

/// Whether the agent speaks, or is not on the node.
enum Started {
    Speaks(Remote),
    Absent { arch: String },
}

/// Runs the agent of this hash, wherever it is: as what is said.
pub fn agent_script(sha256: &str, sudo: &str, role: &str) -> String {
    format!(
        "for d in {PLACES}; do p=$d/slipway-{sha256}; if [ -x $p ] && $p --version >/dev/null 2>&1; then exec {sudo}$p agent {role}; fi; done; echo \"slipway-absent $(uname -m)\" >&2; exit {ABSENT}"
    )
}

/// Starts the agent at the far end of `line`, pushing it first where needed.
pub async fn launch(
    line: Line,
    image: &Image,
    sudo: &Sudo,
    ask: &Arc<dyn Ask>,
) -> Result<Remote, Failure> {
    let script = agent_script(&image.sha256, &as_root(&line.user), "connect");
    let command = format!("sh -c '{script}'");
    for pushed in [false, true] {
        let shell = Shell { line: &line, sudo, ask };
        match start(&shell, &command).await? {
            Started::Speaks(remote) => return Ok(remote.keeping(line)),
            Started::Absent { arch } if arch != "x86_64" => {
                return Err(Failure::new(
                    WHAT,
                    format!("the node is {arch}, and this Slipway is for x86_64"),
                )
                .left("nothing on this node was changed")
                .hint("only x86-64 nodes can be driven; take this one out of the inventory"));
            }
            Started::Absent { .. } if pushed => {
                return Err(vanished(WHAT));
            }
            Started::Absent { .. } => push_agent(&shell, image).await?,
        }
    }
    unreachable!("the second try returns")
}

async fn start(shell: &Shell<'_>, command: &str) -> Result<Started, Failure> {
    match shell.begin(WHAT, command, PREAMBLE).await? {
        Begun::Spoke(remote) => Ok(Started::Speaks(remote)),
        Begun::Over(remote) if remote.fate.code() == Some(ABSENT) => {
            let stderr = printed(&remote);
            let arch = stderr.lines().find_map(|l| l.trim().strip_prefix("slipway-absent "));
            Ok(Started::Absent { arch: arch.unwrap_or("unknown").to_string() })
        }
        Begun::Over(remote) => Err(ended(WHAT, &shell.line.user, &remote)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_passes_through_every_shell() {
        let script = agent_script(&"0".repeat(64), &as_root("admin"), "connect");
        super::super::push::check_quotes(&script);
    }
}
