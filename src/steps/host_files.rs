//! host-files: the people, directories and files that the inventory wants on every node.

use crate::{
    inventory::{Node, octal},
    ops::{
        accounts::User,
        files::{Directory, File},
    },
};

use super::{Decision, Draft, Scene};

pub fn decide(scene: &Scene, node: &Node) -> Decision {
    let host = &scene.inventory.host;
    // People first: what follows may be theirs.
    let users = host.users.iter().map(|user| {
        let (name, groups, keys) = (user.name.clone(), user.groups.clone(), user.keys.clone());
        Draft::new(&node.name, User { name, groups, keys })
    });
    let directories = host.directories.iter().map(|directory| {
        let mode = octal(&directory.mode).unwrap_or(0o755);
        let (path, owner) = (directory.path.clone(), directory.owner.clone());
        Draft::new(&node.name, Directory { path, mode, owner })
    });
    let files = host.files.iter().map(|file| {
        let mode = octal(&file.mode).unwrap_or(0o644);
        let op = File::new(&file.path, file.text.as_deref().unwrap_or_default())
            .mode(mode)
            .owner(file.owner.clone());
        Draft::new(&node.name, op)
    });
    Ok(users.chain(directories).chain(files).collect())
}
