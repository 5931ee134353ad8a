//! Text from a template: `${name}` is replaced, and nothing else happens.
//!
//! Loops and choices are made in Rust, where they are tested; a template shows what a file looks
//! like. It must not know what any file is for.

/// Fills in what is known. A placeholder that has a line to itself takes several lines, each as far
/// in as it stood; with nothing to put there, the line goes.
pub fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len() * 2);
    for line in template.lines() {
        let inner = line.trim_start();
        let indent = &line[..line.len() - inner.len()];
        let alone = inner.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        if let Some((_, value)) = alone.and_then(|name| values.iter().find(|(n, _)| *n == name)) {
            for line in value.lines() {
                out.push_str(if line.is_empty() { "" } else { indent });
                out.push_str(line);
                out.push('\n');
            }
            continue;
        }
        let mut line = line.to_string();
        for (name, value) in values {
            line = line.replace(&format!("${{{name}}}"), value);
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// A scalar that YAML reads back as this very text.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./@+".contains(c);
    let scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic()) || text.starts_with("../");
    let word = begins && scheme.chars().all(plain);
    let taken = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    if word && !taken.contains(&text.to_lowercase().as_str()) {
        text.to_string()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// `- a` a line.
pub fn list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| format!("- {}\n", item.as_ref())).collect()
}

/// A kustomization; `rest` is whatever else it does.
pub fn kustomization(resources: &[String], rest: &str) -> String {
    let mut text =
        String::from("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n");
    if !resources.is_empty() {
        text.push_str("resources:\n");
        for resource in resources {
            text.push_str(&format!("  - {}\n", quoted(resource)));
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled() {
        let text = "a: ${x}\nb:\n  ${list}\n  ${none}\nc: $values/${x}\n";
        let values = [("x", "1"), ("list", "- y\n- z:\n    1"), ("none", "")];
        let filled = "a: 1\nb:\n  - y\n  - z:\n      1\nc: $values/1\n";
        assert_eq!(fill(text, &values), filled);
    }

    #[test]
    fn text_stays_text() {
        for plain in ["main", "https://github.com/you/x.git", "a/b.yaml", "v1.2"] {
            assert_eq!(quoted(plain), plain);
        }
        for odd in
            ["1.20", "true", "a: b", "x#", "git@github.com:you/x.git", "it's", "0x1", "-", ""]
        {
            let quoted = quoted(odd);
            assert!(quoted.starts_with('\''), "{odd}");
            let read = super::super::yaml::read(&quoted).unwrap();
            assert_eq!(read[0].text(), Some(odd));
        }
    }
}
