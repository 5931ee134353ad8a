//! Charts, rendered by the helm that was brought to this node: no repository of charts is asked, and
//! nothing of this machine's or this user's helm has a say.

use std::time::Duration;

use super::{Linux, command::Command};
use crate::{
    kube::rendered::helm_trouble,
    names::Version,
    ops::{
        packages::release_dir,
        sys::{SysError, SysResult},
    },
};

/// A chart of some hundred templates is a second or two.
const PATIENCE: Duration = Duration::from_secs(120);

/// A chart and what it is rendered with.
pub(super) struct Chart<'a> {
    pub helm: &'a Version,
    /// Its name, and its release's: charts are brought under their own names.
    pub name: &'a str,
    pub version: &'a Version,
    pub namespace: &'a str,
    pub kubernetes: &'a Version,
    /// What the API server knows.
    pub apis: &'a [String],
    pub values: &'a str,
}

impl Linux {
    pub(super) async fn rendered(&self, chart: &Chart<'_>) -> SysResult<String> {
        let Chart { name, version, .. } = chart;
        let helm = self.path(&format!("{}/linux-amd64/helm", release_dir("helm", chart.helm)));
        // The archive holds one directory, named after the chart.
        let dir = self.path(&format!("{}/{name}", release_dir(name, version)));
        let what = format!("render {name} {version}");
        if !dir.join("Chart.yaml").exists() {
            let why = format!("there is no chart `{name}` in its release file");
            return Err(SysError::other(format!("{what}: {why}"))
                .hint("it is another file: see where `[artifacts]` takes it from"));
        }
        let command = Command::new(helm.to_string_lossy())
            .args(["template", name])
            .arg(dir.to_string_lossy())
            .args(["--namespace", chart.namespace, "--include-crds"])
            .args(["--kube-version", &chart.kubernetes.to_string()])
            .args(["--api-versions", &chart.apis.join(",")])
            .args(["--values", "-"])
            .env("HOME", "/nonexistent")
            .env("HELM_PLUGINS", "/nonexistent")
            .input(chart.values);
        let finished = tokio::time::timeout(PATIENCE, command.run()).await.map_err(|_| {
            SysError::passing(format!("{what}: it took more than {} s", PATIENCE.as_secs()))
        })??;
        if finished.ok() {
            return Ok(finished.stdout);
        }
        let why = helm_trouble(&finished.stderr);
        Err(SysError::other(format!("{what}: {why}")).hint(
            "mend the values file in the repository and push; the chart's own values.yaml says what each may be",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::sys::Files;

    /// A helm that says what it was given, or fails as the real one does.
    const STAND_IN: &str = "#!/bin/sh\ncat >/dev/null\nfor a; do case $a in 1.35.0) echo 'Error: execution error at (x/templates/y.yaml:3:4): no' >&2; exit 1 ;; esac; done\necho \"$*\"\n";

    #[tokio::test]
    async fn a_chart_that_is_not_there_and_one_that_says_no() {
        let dir = tempfile::tempdir().unwrap();
        let linux = Linux::at(dir.path());
        let version = |text: &str| text.parse::<Version>().unwrap();
        let (helm, of, new, old) =
            (version("3.22.0"), version("1.20.1"), version("1.36.4"), version("1.35.0"));
        let chart = |kubernetes| Chart {
            helm: &helm,
            name: "cilium",
            version: &of,
            namespace: "kube-system",
            kubernetes,
            apis: &[],
            values: "a: b\n",
        };
        let missing = linux.rendered(&chart(&new)).await.unwrap_err();
        assert!(missing.message.contains("there is no chart `cilium`"), "{missing}");
        let program = "/opt/slipway/helm/3.22.0/linux-amd64/helm";
        linux.write(program, STAND_IN.as_bytes(), 0o755).await.unwrap();
        linux.write("/opt/slipway/cilium/1.20.1/cilium/Chart.yaml", b"", 0o644).await.unwrap();
        let said = linux.rendered(&chart(&new)).await.unwrap();
        assert!(said.contains("--kube-version 1.36.4"), "{said}");
        let failed = linux.rendered(&chart(&old)).await.unwrap_err();
        assert_eq!(
            failed.message,
            "render cilium 1.20.1: execution error at (x/templates/y.yaml:3:4): no"
        );
        assert!(failed.hint.is_some());
    }
}
