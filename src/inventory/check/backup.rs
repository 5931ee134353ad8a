//! Whom snapshots are for.

use std::collections::BTreeMap;

use super::{Finding, Findings};
use crate::{
    age::{BadKey, Recipient},
    inventory::Inventory,
};

pub fn check(inventory: &Inventory, f: &mut Findings<'_>) {
    if inventory.backup.keep == 0 {
        let hint = "at least 1: the newest one is what a cluster is restored from";
        f.add(Finding::error("backup.keep", "no snapshot at all would stay").hint(hint));
    }
    let mut seen = BTreeMap::new();
    for (n, text) in inventory.backup.recipients.iter().enumerate() {
        let at = format!("backup.recipients.{n}");
        match text.parse::<Recipient>() {
            Ok(_) => f.unique(&mut seen, text.as_str(), (at, String::new()), |_| {
                "this recipient is named twice".to_string()
            }),
            Err(why) => {
                if why == BadKey::Secret {
                    f.mask(f.document.spans.value(&at));
                }
                let hint = "a public key, as `age-keygen` prints it; `age-keygen -y FILE` tells that of a secret one";
                f.add(Finding::error(&at, format!("this {why}")).hint(hint));
            }
        }
    }
}
