//! How SSH logs in and how hosts are prepared.

use std::collections::BTreeMap;

use super::{Finding, Findings, gitops::secret, text};
use crate::{
    artifacts::is_release,
    inventory::{Inventory, octal},
    names::{ImageName, sha256_of_digest},
};

fn artifacts(inventory: &Inventory, f: &mut Findings<'_>) {
    if inventory.artifacts.dir.as_deref().is_some_and(|d| d.trim().is_empty()) {
        f.add(
            Finding::error("artifacts.dir", "it names no directory")
                .hint("leave it out to use your cache directory"),
        );
    }
    if let Some(mirror) = &inventory.artifacts.mirror {
        let rest = mirror.strip_prefix("https://").or(mirror.strip_prefix("http://"));
        let host = rest.map(|rest| rest.split('/').next().unwrap_or_default());
        if host.is_none_or(|host| host.is_empty() || mirror.contains(char::is_whitespace)) {
            let message = format!("`{mirror}` is not the address of a mirror");
            f.add(
                Finding::error("artifacts.mirror", message)
                    .hint("for example: `http://nas.lan/mirror`"),
            );
        } else if host.is_some_and(|host| host.contains('@')) {
            let span = f.document.spans.value("artifacts.mirror");
            f.mask(secret(f.source.get(span.clone()).unwrap_or_default(), span));
            f.add(
                Finding::error("artifacts.mirror", "the mirror's address has a password or token in it")
                    .label("an inventory is committed and shown: no secret belongs in it")
                    .hint("use a mirror that does not ask for one, or fetch its files by hand into `[artifacts] dir`"),
            );
        }
    }
    for (n, image) in inventory.artifacts.images.iter().enumerate() {
        let path = format!("artifacts.images.{n}");
        if let Err(why) = image.parse::<ImageName>() {
            f.add(
                Finding::error(&path, format!("`{image}` {why}"))
                    .hint("for example: `\"quay.io/cilium/cilium:v1.20.2\"`, with the `@sha256:...` of the pods that use it"),
            );
        } else if inventory.artifacts.images[..n].contains(image) {
            f.add(Finding::error(&path, format!("`{image}` is named twice")));
        }
    }
    for (image, digest) in &inventory.artifacts.digests {
        let path = format!("artifacts.digests.{image}");
        if let Err(why) = image.parse::<ImageName>()
            && !is_release(image)
        {
            let message = format!("`{image}` {why}");
            f.add(
                Finding::error(&path, message)
                    .hint("for example: `\"registry.k8s.io/pause:3.10.2\"`, or `\"gateway-api:1.6.1\"` for a release file"),
            );
        }
        if sha256_of_digest(digest).is_none() {
            let message = format!("`{digest}` is not a digest");
            f.add(
                Finding::error(&path, message)
                    .hint("`sha256:` and 64 hexadecimal digits, as the registry shows it"),
            );
        }
    }
}

pub fn check(inventory: &Inventory, unread: &[(String, String)], f: &mut Findings<'_>) {
    let ssh = &inventory.ssh;
    if let Some(user) = ssh.user.as_deref().filter(|u| !text::user(u)) {
        f.add(Finding::error("ssh.user", format!("`{user}` is not a Linux user's name")));
    }
    if ssh.config.as_deref().is_some_and(|c| c.trim().is_empty()) {
        f.add(
            Finding::error("ssh.config", "it names no file")
                .hint("leave it out to use your own SSH configuration"),
        );
    }
    artifacts(inventory, f);
    if ssh.port == Some(0) {
        f.add(
            Finding::error("ssh.port", "0 is not a port that SSH can listen on")
                .hint("22 is usual"),
        );
    }
    let host = &inventory.host;
    if !text::size(&host.journal_max) {
        let message = format!("`{}` is not a size that journald understands", host.journal_max);
        f.add(Finding::error("host.journal_max", message).hint("for example: `500M` or `1G`"));
    }
    for (i, package) in host.packages.iter().enumerate() {
        if !text::package(package) {
            let message = format!("`{package}` is not a package's name");
            f.add(
                Finding::error(&format!("host.packages.{i}"), message)
                    .hint("lowercase letters, digits and `@._+-`; no version, no path"),
            );
        }
    }
    for (key, value) in &host.sysctls {
        let path = format!("host.sysctls.{key}");
        if !text::sysctl(key) {
            let message = format!("`{key}` is not a sysctl's name");
            f.add(
                Finding::error(&path, message)
                    .on_key()
                    .hint("for example: \"vm.swappiness\" = \"10\""),
            );
        }
        // It is written as one line of a file: a newline would begin another setting.
        if value.trim().is_empty() || value.chars().any(|c| c.is_control() && c != '\t') {
            let message =
                format!("the value of the sysctl `{key}` is empty or has more than one line");
            f.add(Finding::error(&path, message));
        }
    }
    placed(inventory, f);
    texts(inventory, unread, f);
    people(inventory, f);
}

/// What Slipway writes itself, or would make unusable.
const OURS: &[&str] = &[
    "/var/lib/slipway",
    "/run/slipway",
    "/opt/slipway",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/machine-id",
    "/etc/fstab",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/group",
    "/etc/kubernetes",
    "/etc/keepalived",
    "/etc/cni/net.d",
    "/etc/containerd/config.toml",
    "/etc/crictl.yaml",
    "/etc/sysctl.d/90-slipway.conf",
    "/etc/modules-load.d/slipway.conf",
    "/etc/systemd/journald.conf.d/90-slipway.conf",
    "/etc/systemd/networkd.conf.d/90-slipway.conf",
    "/etc/systemd/resolved.conf.d/90-slipway.conf",
    "/etc/systemd/timesyncd.conf.d/90-slipway.conf",
    "/etc/systemd/zram-generator.conf",
    "/etc/systemd/system/containerd.service",
    "/etc/systemd/system/containerd.service.d/10-slipway-mounts.conf",
    "/etc/systemd/system/kubelet.service",
    "/etc/systemd/system/kubelet.service.d/10-slipway-mounts.conf",
    "/etc/systemd/system/var-lib-containerd.mount",
    "/etc/systemd/system/var-lib-etcd.mount",
    "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
    "/etc/pacman.conf",
    "/opt/cni/bin",
    "/usr/local/bin/containerd",
    "/usr/local/bin/containerd-shim-runc-v2",
    "/usr/local/bin/crictl",
    "/usr/local/bin/ctr",
    "/usr/local/bin/kubeadm",
    "/usr/local/bin/kubectl",
    "/usr/local/bin/kubelet",
    "/usr/local/bin/runc",
    "/var/lib/containerd",
    "/var/lib/etcd",
    "/var/lib/kubelet",
    "/var/lib/pacman",
    "/var/lib/rook",
];
/// Files of ours whose names go on.
const OURS_BEGIN: &str = "/etc/systemd/network/05-slipway-";

/// What of Slipway's lies at a path.
fn ours(path: &str) -> Option<&'static str> {
    let lies =
        |o: &&&str| path.strip_prefix(**o).is_some_and(|r| r.is_empty() || r.starts_with('/'));
    OURS.iter().find(lies).copied().or(path.starts_with(OURS_BEGIN).then_some(OURS_BEGIN))
}

fn texts(inventory: &Inventory, unread: &[(String, String)], f: &mut Findings<'_>) {
    for (path, why) in unread {
        f.add(Finding::error(path, why).hint("a path relative to the inventory's own directory"));
    }
    for (i, file) in inventory.host.files.iter().enumerate() {
        let at = format!("host.file.{i}");
        if file.text.is_some() && file.source.is_some() {
            let both = format!("`{}` has a `text` and a `source`", file.path);
            let finding = Finding::error(&format!("{at}.source"), both);
            f.add(finding.other(&format!("{at}.text"), "its text is here").hint("leave one out"));
        } else if file.text.is_none() && file.source.is_none() {
            let neither = format!("`{}` has neither `text` nor `source`", file.path);
            f.add(
                Finding::error(&format!("{at}.path"), neither)
                    .hint("`text = \"\"` makes an empty file"),
            );
        }
    }
}

fn placed(inventory: &Inventory, f: &mut Findings<'_>) {
    let mut seen = BTreeMap::new();
    let host = &inventory.host;
    let directories = host.directories.iter().map(|d| ("directory", &d.path, &d.mode, &d.owner));
    let files = host.files.iter().map(|x| ("file", &x.path, &x.mode, &x.owner));
    let mut counts = BTreeMap::new();
    for (kind, path, mode, owner) in directories.chain(files) {
        let i: &mut usize = counts.entry(kind).or_default();
        let at = format!("host.{kind}.{i}");
        *i += 1;
        let here = format!("{at}.path");
        if let Err(why) = text::absolute_path(path) {
            f.add(Finding::error(&here, format!("`{path}` {why}")));
        } else if let Some(ours) = ours(path) {
            f.add(
                Finding::error(&here, format!("`{path}` is Slipway's own: it manages {ours}"))
                    .hint("what belongs there comes from the rest of the inventory"),
            );
        }
        f.unique(&mut seen, path.as_str(), (here, "another entry".into()), |_| {
            format!("`{path}` is described twice")
        });
        if octal(mode).is_none() {
            f.add(
                Finding::error(&format!("{at}.mode"), format!("`{mode}` is not a mode"))
                    .hint("three or four octal digits: \"0644\""),
            );
        }
        if let Some(owner) = owner {
            let names = owner.split_once(':');
            if !names.is_some_and(|(user, group)| text::user(user) && text::user(group)) {
                f.add(
                    Finding::error(&format!("{at}.owner"), format!("`{owner}` is not an owner"))
                        .hint("user and group: \"root:root\""),
                );
            }
        }
    }
}

fn people(inventory: &Inventory, f: &mut Findings<'_>) {
    let mut seen = BTreeMap::new();
    for (i, user) in inventory.host.users.iter().enumerate() {
        let at = format!("host.user.{i}");
        if !text::user(&user.name) {
            let message = format!("`{}` is not a Linux user's name", user.name);
            f.add(Finding::error(&format!("{at}.name"), message));
        }
        let name = (format!("{at}.name"), "another entry".into());
        f.unique(&mut seen, user.name.as_str(), name, |_| {
            format!("the user `{}` is described twice", user.name)
        });
        for (n, group) in user.groups.iter().enumerate().filter(|(_, g)| !text::user(g)) {
            let message = format!("`{group}` is not a group's name");
            f.add(Finding::error(&format!("{at}.groups.{n}"), message));
        }
        for (n, key) in user.keys.iter().enumerate() {
            if let Err(why) = text::public_key(key) {
                // What was pasted may be the other half, which nobody is to see.
                let here = format!("{at}.keys.{n}");
                if key.contains("PRIVATE KEY") || key.len() > 60 {
                    f.mask(f.document.spans.value(&here));
                }
                f.add(
                    Finding::error(&here, format!("this {why}"))
                        .hint("a line of a file such as ~/.ssh/id_ed25519.pub"),
                );
            }
        }
    }
}
