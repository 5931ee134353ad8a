//! `slipway bundle`: everything that machines without internet need, in one file.

use std::path::Path;

use serde_json::json;
use tokio::runtime::Builder;

use super::{
    args::{Bundle as Args, BundleVerb, Global},
    context,
    exit::{Error, Exit},
    output,
};
use crate::{
    artifacts::{
        Progress,
        bundle::{self, Contents, Ingredient, Inputs, Listed, Made},
        pacman,
    },
    inventory::CniKind,
    supply,
    ui::Mode,
};

pub fn bundle(global: &Global, args: &Args) -> Result<Exit, Error> {
    match &args.what {
        BundleVerb::Create { file, packages, no_packages, only_packages, leave_out } => {
            let packages = match (packages, no_packages) {
                (_, true) => Source::None,
                (Some(dir), _) => Source::Dir(dir),
                (None, _) => Source::Mirror { leave_out },
            };
            create(global, file, packages, *only_packages)
        }
        BundleVerb::Verify { file } => verify(global, file),
    }
}

/// Where the distribution's packages come from.
enum Source<'a> {
    None,
    Dir(&'a Path),
    Mirror { leave_out: &'a [String] },
}

fn create(
    global: &Global,
    to: &Path,
    source: Source<'_>,
    only_packages: bool,
) -> Result<Exit, Error> {
    let loaded = context::inventory(global)?;
    let (inventory, json) = (&loaded.inventory, context::mode(global) == Mode::Json);
    let one = |failure| Error::failures(vec![failure], None);
    // What a person can mend at once is said before hundreds of megabytes are fetched.
    let packages = match source {
        Source::Dir(dir) => bundle::packages(dir).map_err(one)?,
        _ => Vec::new(),
    };
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Error::text(Exit::Failed, format!("cannot start: {e}"), None))?;
    let say = |text: String| {
        if !json {
            output::err(&format!("{text}\n"));
        }
    };
    let wanted = match only_packages {
        true => Default::default(),
        false => supply::of_inventory(inventory),
    };
    let more = &inventory.artifacts.images;
    if !only_packages
        && inventory.cni.kind == CniKind::Cilium
        && !more.iter().any(|image| image.contains("/cilium/"))
    {
        say("without the images of Cilium's pods: nodes fetch those themselves, unless `[artifacts] images` names them".into());
    }
    let releases = context::releases(&loaded);
    let parcels = runtime
        .block_on(supply::obtain(wanted, &releases, &|download| say(download.to_string())))
        .map_err(|failures| Error::failures(failures, Some(context::command_line())))?;
    let mut packages = packages;
    if let (Source::Mirror { .. }, None) = (&source, &releases.fetcher) {
        say("without packages of the distribution: `download = false`, and no --packages".into());
    }
    if let (Source::Mirror { leave_out }, Some(fetcher)) = (source, &releases.fetcher) {
        let asked = pacman::Asked {
            names: supply::packages_of_inventory(inventory),
            perhaps: pacman::perhaps().collect(),
            except: leave_out.iter().cloned().collect(),
        };
        if !asked.names.is_empty() {
            let mirrors = pacman::Mirror::all(inventory.artifacts.mirror.as_deref());
            let dir = context::packages_dir();
            let tell = |what: &str, progress: Progress| say(progress.of(&what).to_string());
            let fetching = pacman::fetch(fetcher, &mirrors, &dir, &asked, &tell);
            let fetched = runtime
                .block_on(fetching)
                .map_err(|failures| Error::failures(failures, Some(context::command_line())))?;
            packages = bundle::fetched(&fetched).map_err(one)?;
        }
    }
    let inputs = Inputs {
        cluster: inventory.cluster.name.to_string(),
        inventory: loaded.digest.clone(),
        packages: !packages.is_empty(),
    };
    let contents = Contents::new(inventory.cluster.kubernetes.clone(), inputs);
    let taken = |parcel: &crate::transport::Parcel| {
        Ingredient::of_release(&parcel.file, &parcel.sha256, parcel.bytes)
    };
    let mut ingredients: Vec<Ingredient> = parcels.values().flat_map(taken).collect();
    ingredients.extend(packages);
    say(format!("packing {} files", ingredients.len()));
    let Made { contents, bytes, sha256 } =
        bundle::create(to, contents, ingredients).map_err(one)?;
    if json {
        output::json(&json!({
            "version": 1, "bundle": to, "bytes": bytes, "sha256": sha256, "contents": contents,
        }));
    } else {
        output::out(&table(&contents));
        let packed = megabytes(bytes);
        output::out(&format!("\n{}: {packed} MB, SHA-256 {sha256}\n", to.display()));
    }
    Ok(Exit::Done)
}

fn verify(global: &Global, file: &Path) -> Result<Exit, Error> {
    let contents = bundle::verify(file).map_err(|failure| Error::failures(vec![failure], None))?;
    if context::mode(global) == Mode::Json {
        output::json(&json!({ "version": 1, "bundle": file, "contents": contents }));
    } else {
        output::out(&table(&contents));
        output::out(&format!("\n{}: everything in it is what its list says\n", file.display()));
    }
    Ok(Exit::Done)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

/// Files, without the checksums beside them, which say the same as the last column.
fn table(contents: &Contents) -> String {
    let Contents { slipway, kubernetes, inputs, files, .. } = contents;
    let mut text = format!(
        "Kubernetes {kubernetes} for cluster {}, by Slipway {slipway}: {} files, {} MB\n\n",
        inputs.cluster,
        files.len(),
        megabytes(contents.bytes())
    );
    let shown: Vec<&Listed> = files.iter().filter(|f| !f.path.ends_with(".sha256")).collect();
    let width = shown.iter().map(|f| f.path.len()).max().unwrap_or_default();
    for Listed { path, bytes, sha256 } in shown {
        let short = sha256.get(..12).unwrap_or(sha256);
        text += &format!("{path:<width$}  {:>8} MB  {short}\n", megabytes(*bytes));
    }
    text
}
