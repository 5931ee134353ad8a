//! Accounts of a node, by its own tools; read from the files.

use std::fs;

use async_trait::async_trait;

use super::{Linux, command::Command};
use crate::{
    facts::read::accounts,
    ops::sys::{SysResult, UserState, Users},
};

#[async_trait]
impl Users for Linux {
    async fn user(&self, name: &str) -> SysResult<Option<UserState>> {
        let text = |path: &str| fs::read_to_string(self.path(path)).unwrap_or_default();
        let (passwd, group) = (text("/etc/passwd"), text("/etc/group"));
        Ok(accounts::home_of(&passwd, name).map(|(home, own)| UserState {
            home: home.into(),
            group: accounts::name_of(&group, own).map_or_else(|| own.to_string(), Into::into),
            groups: accounts::groups_of(&group, name).into_iter().map(Into::into).collect(),
        }))
    }

    async fn add_user(&self, name: &str) -> SysResult<()> {
        let add =
            Command::new("useradd").args(["--create-home", "--user-group", "--shell", "/bin/bash"]);
        add.args(["--", name]).done().await.map(drop)
    }

    async fn add_to_groups(&self, name: &str, groups: &[String]) -> SysResult<()> {
        let add = Command::new("usermod").args(["--append", "--groups", &groups.join(",")]);
        add.args(["--", name]).done().await.map(drop)
    }
}
