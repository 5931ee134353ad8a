//! The repository that takes over: a starter for it, written from the inventory, and what must hold in
//! one for the hand-off to work.
//!
//! Everything but `tree` is pure. It contacts nothing, and knows neither nodes nor plans: steps may ask
//! it what a repository has to say.

mod argocd;
mod flux;
mod layout;
mod namespaces;
mod network;
mod owned;
mod parts;
mod pool;
mod scaffold;
mod storage;
mod tell;
mod template;
mod tree;
pub mod values;
mod versions;
pub mod yaml;

use std::path::Path;

pub use namespaces::namespace_labels;
pub use owned::State;
pub use scaffold::{Held, Input, Manifest, Scaffold, scaffold};
pub use tree::{Change, Tree};

use crate::{events::Failure, inventory::Inventory};

/// An error, and whose it is.
#[derive(Debug)]
pub enum Trouble {
    /// What was asked for cannot be.
    Usage(Failure),
    /// It could be, and went wrong.
    Failed(Failure),
}

/// What a starter repository would become in a directory.
#[derive(Debug)]
pub struct Starter {
    pub changes: Vec<Change>,
    pub notes: Vec<String>,
    /// Values that somebody edited, and that the bootstrap would refuse.
    pub refused: Option<Failure>,
    tree: Tree,
}

impl Starter {
    /// Looks, and writes nothing. What an earlier run was told and the inventory does not know is read
    /// off the repository: MetalLB's addresses, and manifests that are kept there.
    pub fn prepare(inventory: &Inventory, dir: &Path, input: Input) -> Result<Self, Trouble> {
        let tree = Tree::open(dir)?;
        let input = remembered(inventory, &tree, input)?;
        let scaffold = scaffold(inventory, &input).map_err(Trouble::Usage)?;
        let changes = tree.compare(&scaffold)?;
        let refused = refused(inventory, &tree, &changes);
        let mut notes = scaffold.notes;
        notes.extend(stale(inventory, &tree, &input));
        Ok(Self { changes, notes, refused, tree })
    }

    pub fn write(&self) -> Result<(), Trouble> {
        self.tree.write(&self.changes)
    }
}

fn remembered(inventory: &Inventory, tree: &Tree, mut input: Input) -> Result<Input, Trouble> {
    if input.pool.is_empty()
        && let Some(text) = tree.text(layout::POOL_FILE)
    {
        input.pool = addresses(&text).ok_or_else(|| {
            let why = format!("{} names no addresses", layout::POOL_FILE);
            Trouble::Usage(
                Failure::new("read which addresses MetalLB has", why)
                    .hint("mend it, or name them with --metallb-pool FROM-TO"),
            )
        })?;
    }
    if let Some(gitops) = &inventory.gitops {
        let layout = layout::Layout::of(inventory, gitops).map_err(Trouble::Usage)?;
        for manifest in Manifest::ALL {
            match manifest.directory(&layout) {
                Some(directory) => {
                    let path = layout::join(&directory, manifest.file());
                    if tree.text(&path).is_some() {
                        input.manifests.entry(manifest).or_insert(Held::There);
                    }
                }
                None if input.manifests.contains_key(&manifest) => {
                    let why = format!("this repository has no use for {}", manifest.option());
                    let what = "write a GitOps repository";
                    return Err(Trouble::Usage(Failure::new(what, why)));
                }
                None => {}
            }
        }
    }
    Ok(input)
}

/// The ranges of an address pool, as it spells them.
fn addresses(text: &str) -> Option<Vec<String>> {
    let documents = yaml::read(text).ok()?;
    let list = documents.iter().find_map(|d| d.at(&["spec", "addresses"]))?;
    let yaml::Value::List(items) = &list.node.value else { return None };
    let items: Vec<String> = items.iter().filter_map(|i| Some(i.text()?.to_string())).collect();
    (!items.is_empty()).then_some(items)
}

/// Values that are not Slipway's own any more have to hold as well.
fn refused(inventory: &Inventory, tree: &Tree, changes: &[Change]) -> Option<Failure> {
    let values = &inventory.cilium.as_ref()?.values;
    let stays = |c: &&Change| matches!(c.state, State::Edited | State::Foreign);
    let wanted = layout::tidy(values);
    let change = changes.iter().filter(stays).find(|c| c.path == wanted)?;
    // The whole of it: lines are counted as an editor shows them.
    values::check(&values::Must::of(inventory), &change.path, &tree.text(&change.path)?).err()
}

/// Manifests that are kept in the repository, of another version than the one that goes with the rest.
fn stale(inventory: &Inventory, tree: &Tree, input: &Input) -> Vec<String> {
    let row = versions::row(inventory);
    let Some(gitops) = &inventory.gitops else { return Vec::new() };
    let Ok(layout) = layout::Layout::of(inventory, gitops) else { return Vec::new() };
    let mut notes = Vec::new();
    for (manifest, held) in &input.manifests {
        let version = match manifest {
            Manifest::Argocd => row.argocd.to_string(),
            Manifest::Flux => row.flux.to_string(),
            Manifest::GatewayApi => row.gateway_api.to_string(),
        };
        let Some(directory) = manifest.directory(&layout) else { continue };
        let path = layout::join(&directory, manifest.file());
        let text = match held {
            Held::Text(text) => Some(text.clone()),
            Held::There => tree.text(&path),
        };
        if text.is_some_and(|text| !text.contains(&format!("v{version}"))) {
            notes.push(format!(
                "{path} does not look like {version}, which goes with the rest; `{} FILE` brings it",
                manifest.option()
            ));
        }
    }
    notes
}
