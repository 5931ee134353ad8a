//! What registries say about images, read: manifests, and indexes of them.
//!
//! Pure. What a document is, is told by what is in it and never by the headers it came with: a mirror
//! may be a plain file server.

use serde::Deserialize;
use serde_json::json;

use crate::names::{ImageName, sha256_of_digest};

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Everything that is understood here.
pub const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";
/// More layers than any image has.
const MOST_LAYERS: usize = 512;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Descriptor {
    #[serde(rename = "mediaType", default)]
    pub media_type: String,
    pub digest: String,
    pub size: u64,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Platform {
    os: String,
    architecture: String,
    #[serde(default)]
    variant: String,
}

/// One image, for one kind of machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub media_type: String,
    pub config: Descriptor,
    /// Without repetitions, in order.
    pub layers: Vec<Descriptor>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// The same image for several kinds of machines.
    Index(Vec<Descriptor>),
    Image(Manifest),
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

impl Descriptor {
    /// As a file's name; checked where the document was read.
    pub fn hex(&self) -> &str {
        sha256_of_digest(&self.digest).unwrap_or_default()
    }
}

/// In words that follow an address.
pub fn read(bytes: &[u8]) -> Result<Document, String> {
    let Ok(raw) = serde_json::from_slice::<Raw>(bytes) else {
        let begins: String = String::from_utf8_lossy(bytes).chars().take(60).collect();
        return Err(format!("gives no manifest of an image: it begins with {begins:?}"));
    };
    let named = |all: &[Descriptor]| match all.iter().find(|d| d.hex().is_empty()) {
        Some(odd) => Err(format!("names something by `{}`, and not by SHA-256", odd.digest)),
        None => Ok(()),
    };
    match (raw.manifests, raw.config, raw.layers) {
        (Some(manifests), _, _) => {
            named(&manifests)?;
            Ok(Document::Index(manifests))
        }
        (None, Some(config), Some(mut layers)) => {
            named(std::slice::from_ref(&config))?;
            named(&layers)?;
            if layers.len() > MOST_LAYERS {
                return Err(format!("names {} layers", layers.len()));
            }
            let mut seen = std::collections::BTreeSet::from([config.digest.clone()]);
            layers.retain(|layer| seen.insert(layer.digest.clone()));
            let docker = config.media_type.starts_with("application/vnd.docker.");
            let inferred = if docker { DOCKER_MANIFEST } else { OCI_MANIFEST };
            let media_type = raw.media_type.unwrap_or_else(|| inferred.into());
            Ok(Document::Image(Manifest { media_type, config, layers }))
        }
        _ => Err("gives a manifest of a kind that is not known (of before 2016?)".into()),
    }
}

/// The one for our nodes; or the kinds of machines that there are.
pub fn for_our_nodes(index: &[Descriptor]) -> Result<&Descriptor, String> {
    let fits = |d: &&Descriptor| {
        d.platform.as_ref().is_some_and(|p| p.os == "linux" && p.architecture == "amd64")
    };
    // Variants need newer processors; the plain one runs everywhere.
    let plain = |d: &&Descriptor| d.platform.as_ref().is_none_or(|p| p.variant.is_empty());
    let found = index.iter().filter(fits).find(plain).or_else(|| index.iter().find(fits));
    found.ok_or_else(|| {
        let kinds = index.iter().filter_map(|d| d.platform.as_ref());
        let kinds: Vec<String> = kinds.map(|p| format!("{}/{}", p.os, p.architecture)).collect();
        if kinds.is_empty() { "none".into() } else { kinds.join(", ") }
    })
}

/// What a configuration says it is for, if that is not our nodes.
pub fn other_platform(config: &[u8]) -> Option<String> {
    let config: serde_json::Value = serde_json::from_slice(config).ok()?;
    let (os, architecture) = (config["os"].as_str()?, config["architecture"].as_str()?);
    (os != "linux" || architecture != "amd64").then(|| format!("{os}/{architecture}"))
}

/// The digest that the registry showed, where that is the one of a whole index.
const SHOWN: &str = "io.slipway.image.shown-digest";

/// What an archive of one image has at its top, under the names that importers go by. `shown` is what the
/// registry shows for it, which `digest` is a part of, or the same.
pub fn index_of(
    image: &ImageName,
    manifest: &Manifest,
    (shown, digest): (&str, &str),
    size: usize,
) -> Vec<u8> {
    let mut index = json!({
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [{
            "mediaType": manifest.media_type,
            "digest": digest,
            "size": size,
            "annotations": {
                "io.containerd.image.name": image.in_runtime(),
                "org.opencontainers.image.ref.name": image.tag,
            },
        }],
    });
    if shown != digest {
        index["manifests"][0]["annotations"][SHOWN] = shown.into();
    }
    index.to_string().into_bytes()
}

/// Under which digests what lies under such a top is known.
pub fn digests_in(index: &[u8]) -> Vec<String> {
    let index: serde_json::Value = serde_json::from_slice(index).unwrap_or_default();
    let manifests = index["manifests"].as_array().into_iter().flatten();
    let both = manifests.flat_map(|m| [&m["digest"], &m["annotations"][SHOWN]]);
    both.filter_map(|digest| digest.as_str().map(str::to_string)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(digit: &str, platform: &str) -> String {
        let platform = match platform.split_once('/') {
            Some((os, arch)) => format!(r#","platform":{{"os":"{os}","architecture":"{arch}"}}"#),
            None => String::new(),
        };
        format!(r#"{{"mediaType":"m","digest":"sha256:{}","size":3{platform}}}"#, digit.repeat(64))
    }

    #[test]
    fn documents_are_told_apart_by_what_is_in_them() {
        let (a, b) = (descriptor("a", ""), descriptor("b", ""));
        let image = format!(r#"{{"schemaVersion":2,"config":{a},"layers":[{b},{b}]}}"#);
        let Document::Image(manifest) = read(image.as_bytes()).unwrap() else { panic!() };
        assert_eq!(manifest.media_type, OCI_MANIFEST);
        assert_eq!(manifest.layers.len(), 1, "one that comes twice is fetched once");
        let index = format!(r#"{{"manifests":[{a}]}}"#);
        assert!(matches!(read(index.as_bytes()), Ok(Document::Index(all)) if all.len() == 1));
        for (wrong, says) in [
            ("<html>log in</html>".to_string(), "<html>log in"),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#.into(), "not known"),
            (index.replace("sha256:", "md5:"), "md5:"),
            (index.replace("sha256:a", "sha256:../"), "../"),
            (index.replace("sha256:a", "sha256:A"), "not by SHA-256"),
        ] {
            let why = read(wrong.as_bytes()).unwrap_err();
            assert!(why.contains(says), "{why}");
        }
    }

    #[test]
    fn an_index_has_one_for_our_nodes() {
        let index = |all: &[String]| match read(
            format!(r#"{{"manifests":[{}]}}"#, all.join(",")).as_bytes(),
        ) {
            Ok(Document::Index(all)) => all,
            other => panic!("{other:?}"),
        };
        let arm = descriptor("1", "linux/arm64");
        let amd = descriptor("3", "linux/amd64");
        let newer = descriptor("2", "linux/amd64").replace("amd64\"", "amd64\",\"variant\":\"v3\"");
        let attestation = descriptor("4", "unknown/unknown");
        let all = index(&[arm.clone(), newer.clone(), amd, attestation]);
        assert!(for_our_nodes(&all).unwrap().digest.ends_with('3'));
        assert!(for_our_nodes(&index(&[arm.clone(), newer])).unwrap().digest.ends_with('2'));
        assert_eq!(for_our_nodes(&index(&[arm])).unwrap_err(), "linux/arm64");
        assert_eq!(for_our_nodes(&[]).unwrap_err(), "none");
        assert_eq!(other_platform(br#"{"os":"linux","architecture":"amd64"}"#), None);
        let arm = br#"{"os":"linux","architecture":"arm64"}"#;
        assert_eq!(other_platform(arm).as_deref(), Some("linux/arm64"));
    }
}
