//! Secrets that must be there before Git is: on the simulated fleet, from one run to the next.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests make files and print"
)]

mod fleet;

use std::collections::BTreeMap;

use fleet::{Came, Fleet, Typed, inventory, result, simulated};
use slipway::{
    conduct::Outcome,
    inventory::{Inventory, SecretFrom, TierZero},
    plan::{Plan, render},
};

fn with_a_secret(keys: &[&str]) -> Inventory {
    let mut inventory = inventory(1);
    let from = |key: &&str| {
        let from = SecretFrom { env: Some(format!("OF_{key}")), ..SecretFrom::default() };
        (key.to_string(), from)
    };
    let secret = TierZero {
        namespace: "external-secrets".into(),
        name: "login".into(),
        kind: "Opaque".into(),
        labels: BTreeMap::new(),
        keys: keys.iter().map(from).collect(),
    };
    inventory.gitops.as_mut().unwrap().secrets.push(secret);
    inventory
}

fn shown(plan: &Plan) -> String {
    render::text(plan, render::Shown { color: false, all: false })
}

fn stopped(came: &Came) -> String {
    match came {
        Some(Outcome::Stopped(failures)) => {
            failures.iter().map(|f| format!("{f}; {:?}\n", f.left)).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_secret_is_made_kept_and_rotated() {
    simulated(async {
        let mut fleet = Fleet::fresh(with_a_secret(&["token", "user"]), 7);
        fleet.secret = Ok("hunter2-hunter2".into());
        let bootstrap = Typed::new("bootstrap");
        let plan = shown(&fleet.plan(&bootstrap).await);
        assert!(plan.contains("make the Secret external-secrets/login with token, user"), "{plan}");
        assert_eq!(result(&fleet.type_(&bootstrap).await), "changed");
        assert_eq!(result(&fleet.type_(&bootstrap).await), "unchanged");
        fleet.secret = Ok("correct-horse-battery".into());
        let plan = shown(&fleet.plan(&bootstrap).await);
        assert!(
            plan.contains("another value in the Secret external-secrets/login: token, user"),
            "{plan}"
        );
        assert_eq!(result(&fleet.type_(&bootstrap).await), "changed");
        assert_eq!(result(&fleet.type_(&bootstrap).await), "unchanged");
        // Neither is anywhere that outlives the run.
        let left = fleet.leave();
        let world = serde_json::to_string(&left.world).unwrap();
        let journals: Vec<u8> = left.journals.values().flatten().copied().collect();
        let kept = [world.as_bytes(), &journals, &left.ledger].map(String::from_utf8_lossy);
        for secret in ["hunter2-hunter2", "correct-horse-battery"] {
            assert!(kept.iter().all(|text| !text.contains(secret)), "{secret} was kept");
        }
        assert!(kept[0].contains("external-secrets/login"), "the fleet knows that it is there");
    });
}

#[test]
fn a_key_that_is_wanted_no_more_goes() {
    simulated(async {
        let mut fleet = Fleet::fresh(with_a_secret(&["token", "user"]), 7);
        let bootstrap = Typed::new("bootstrap");
        assert_eq!(result(&fleet.type_(&bootstrap).await), "changed");
        fleet.inventory = with_a_secret(&["token"]);
        let plan = shown(&fleet.plan(&bootstrap).await);
        assert!(plan.contains("remove from the Secret external-secrets/login: user"), "{plan}");
        assert_eq!(result(&fleet.type_(&bootstrap).await), "changed");
    });
}

#[test]
fn what_somebody_else_keeps_is_left_and_said() {
    simulated(async {
        let mut fleet = Fleet::fresh(with_a_secret(&["token"]), 7);
        let bootstrap = Typed::new("bootstrap");
        assert_eq!(result(&fleet.type_(&bootstrap).await), "changed");
        for cluster in fleet.cell.world().clusters.values_mut() {
            for secret in cluster.secrets.values_mut() {
                secret.kept_by = Some("ExternalSecret login".into());
            }
        }
        fleet.secret = Ok("another".into());
        let plan = fleet.plan(&bootstrap).await;
        assert!(
            plan.notes.iter().any(|n| n.contains("is ExternalSecret login's and is left as it is")),
            "{:?}",
            plan.notes
        );
        assert_eq!(result(&fleet.type_(&bootstrap).await), "unchanged");
    });
}

/// A token that is not there is found before the first node is changed, and not an hour later.
#[test]
fn a_secret_that_cannot_be_read_stops_before_anything_is_done() {
    simulated(async {
        let mut fleet = Fleet::fresh(with_a_secret(&["token"]), 7);
        fleet.secret = Err("it is not set".into());
        let came = fleet.type_(&Typed::new("bootstrap")).await;
        let said = stopped(&came);
        assert!(said.contains("read a secret from $OF_token: it is not set"), "{said}");
        assert!(said.contains("nothing was changed anywhere"), "{said}");
        assert!(fleet.cell.world().clusters.is_empty(), "no cluster was made");
        fleet.secret = Ok("there".into());
        assert_eq!(result(&fleet.type_(&Typed::new("bootstrap")).await), "changed");
    });
}
