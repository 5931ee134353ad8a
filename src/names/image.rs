//! Images of containers, by registry, repository and tag, and what else they go by.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

use super::{BadName, hex};

/// `registry.k8s.io/coredns/coredns:v1.14.2`: always with its registry and its tag, for what is
/// guessed at here would be guessed differently by the runtime. With `@sha256:...` behind it, it is this one
/// and no other, whatever the tag says by now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    pub registry: String,
    pub repository: String,
    pub tag: String,
    pub digest: Option<String>,
}

impl ImageName {
    /// By what a registry is asked for it.
    pub fn asked(&self) -> &str {
        self.digest.as_deref().unwrap_or(&self.tag)
    }

    /// What the runtime calls it: of one that has both, it keeps the digest.
    pub fn in_runtime(&self) -> String {
        match &self.digest {
            Some(digest) => format!("{}/{}@{digest}", self.registry, self.repository),
            None => self.to_string(),
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.registry, self.repository, self.tag)?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

impl FromStr for ImageName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = |why: &str| BadName(format!("{why}; an image is `registry/name:tag`"));
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let (registry, rest) = name.split_once('/').ok_or_else(|| bad("names no registry"))?;
        let (repository, tag) = rest.split_once(':').ok_or_else(|| bad("names no tag"))?;
        let host = registry.split_once(':').map_or(registry, |(host, _)| host);
        let is_host = host == "localhost" || host.contains('.') || registry.contains(':');
        let of = |text: &str, more: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            !text.is_empty() && text.chars().all(plain) && !text.starts_with(['.', '-'])
        };
        if !is_host || !of(registry, ".-:") {
            return Err(bad("does not begin with a registry"));
        }
        if !repository.split('/').all(|part| of(part, "._-") && part == part.to_ascii_lowercase()) {
            return Err(bad("has a repository that none can have"));
        }
        if tag.len() > 128 || !of(tag, "._-") {
            return Err(bad("has a tag that none can have"));
        }
        if digest.is_some_and(|digest| sha256_of_digest(digest).is_none()) {
            return Err(bad("has a digest that is not `sha256:` and 64 hexadecimal digits"));
        }
        Ok(Self {
            registry: registry.into(),
            repository: repository.into(),
            tag: tag.into(),
            digest: digest.map(str::to_string),
        })
    }
}

/// How long what stands for its name may be: with what is around it, an archive of archives takes no more.
const FILE_NAME: usize = 70;
/// Digits of a checksum in the place of what is too long.
const FILE_DIGITS: usize = 24;

/// What the archive of an image is called, here and on nodes: safe as a file's name and in a shell.
/// No two images share one: an underscore of the name's own is doubled, no part of a name begins with a dot,
/// and of what is too long, as every name with a digest is, a checksum of all of it stands for the end.
pub fn image_file(image: &str) -> String {
    let tagged = image.split('@').next().unwrap_or_default();
    let mut name = String::new();
    for c in tagged.chars() {
        match c {
            '_' => name.push_str("__"),
            '.' | '-' => name.push(c),
            c if c.is_ascii_alphanumeric() => name.push(c),
            _ => name.push('_'),
        }
    }
    if name.len() > FILE_NAME || tagged != image {
        name.truncate(FILE_NAME - 2 - FILE_DIGITS);
        let sum = hex(&Sha256::digest(image));
        name = format!("{name}_.{}", &sum[..FILE_DIGITS]);
    }
    format!("image-{name}.oci.tar")
}

/// `sha256:` and 64 hexadecimal digits: what registries call a manifest or a layer by.
pub fn sha256_of_digest(digest: &str) -> Option<&str> {
    let hex = digest.strip_prefix("sha256:")?;
    let small = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (hex.len() == 64 && hex.bytes().all(small)).then_some(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_a_registry_and_a_tag() {
        let image: ImageName = "registry.k8s.io/coredns/coredns:v1.14.2".parse().unwrap();
        assert_eq!(image.registry, "registry.k8s.io");
        assert_eq!(image.repository, "coredns/coredns");
        assert_eq!(image.to_string(), "registry.k8s.io/coredns/coredns:v1.14.2");
        let local: ImageName = "127.0.0.1:5000/pause:3.10".parse().unwrap();
        assert_eq!((local.registry.as_str(), local.tag.as_str()), ("127.0.0.1:5000", "3.10"));
        let digest = format!("sha256:{}", "0".repeat(64));
        let both = format!("quay.io/cilium/cilium:v1.20.2@{digest}");
        let pinned: ImageName = both.parse().unwrap();
        assert_eq!((pinned.to_string(), pinned.asked()), (both, digest.as_str()));
        assert_eq!(pinned.in_runtime(), format!("quay.io/cilium/cilium@{digest}"));
        assert_eq!((image.asked(), image.in_runtime()), ("v1.14.2", image.to_string()));
        for wrong in [
            "pause",
            "pause:3.10",
            "library/pause:3.10",
            "registry.k8s.io/pause",
            "registry.k8s.io/:3.10",
            "registry.k8s.io/pause:",
            "registry.k8s.io/pause:3.10@sha256:0",
            "registry.k8s.io/../pause:3.10",
            "registry.k8s.io//pause:3.10",
            "registry.k8s.io/Pause:3.10",
            "registry.k8s.io/pause:3 10",
            "user@registry.k8s.io/pause:3.10",
        ] {
            assert!(wrong.parse::<ImageName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn files_of_images_are_safe_and_tell_them_apart() {
        let file = image_file("registry.k8s.io/coredns/coredns:v1.14.2");
        assert_eq!(file, "image-registry.k8s.io_coredns_coredns_v1.14.2.oci.tar");
        assert_ne!(image_file("r.io/a/b_c:d"), image_file("r.io/a/b/c:d"));
        assert_ne!(image_file("r.io/a:b@sha256:d"), image_file("r.io/a/b/sha256:d"));
        let of = |digit: &str| {
            format!("quay.io/cilium/operator-generic:v1.20.2@sha256:{}", digit.repeat(64))
        };
        let pinned = image_file(&of("0"));
        assert!(pinned.starts_with("image-quay.io_cilium_operator-generic_v1.20.2_."), "{pinned}");
        assert_ne!(pinned, image_file(&of("1")));
        let long = format!("r.io/{}:v1", "a".repeat(200));
        assert_ne!(image_file(&long), image_file(&format!("{long}2")));
        // In a bundle, with the checksum beside it.
        for image in [of("0"), long] {
            assert!(format!("releases/{}.sha256", image_file(&image)).len() <= 100);
        }
        assert_eq!(image_file("r.io/$(x) y:z"), "image-r.io___x__y_z.oci.tar");
    }
}
