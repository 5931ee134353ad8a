//! A GitHub App: its private key is exchanged for a token that reads the repositories which it is
//! installed for, and that ends within the hour.
//!
//! A JWT is three words of base64 and a signature; written out, it saves a library. Must not know where
//! the key was read from.
#![allow(
    clippy::disallowed_methods,
    reason = "GitHub compares the token's times with its own clock, which is the wall's"
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{Client, header};
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};

use crate::{
    artifacts,
    secret::{GithubApp, Sealed},
};

const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(30);
/// A clock that is a little ahead of GitHub's would make tokens of the future, which it refuses.
const BEFORE_S: u64 = 60;
/// GitHub takes none that is valid for more than ten minutes.
const VALID_S: u64 = 540;
/// From here on it is the clock that is to be mended.
const SKEW_S: u64 = 45;

/// Why there is no token, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub why: String,
    pub hint: Option<String>,
    /// Another try may help.
    pub passing: bool,
}

fn refused(why: impl Into<String>, hint: &str) -> Refused {
    let hint = (!hint.is_empty()).then(|| hint.to_string());
    Refused { why: why.into(), hint, passing: false }
}

fn pair(pem: &str) -> Result<RsaKeyPair, Refused> {
    let hint = "it is the file that GitHub hands out under the app's \"Private keys\": `-----BEGIN RSA PRIVATE KEY-----` and so on";
    let wrong = || refused("the app's private key is no RSA key in PEM", hint);
    match PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| wrong())? {
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        _ => return Err(wrong()),
    }
    .map_err(|error| refused(format!("the app's private key cannot be used: {error}"), hint))
}

/// What the app says of itself, signed.
fn jwt(app: u64, key: &RsaKeyPair, now_s: u64) -> Result<Sealed, Refused> {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let times = json!({
        "iat": now_s.saturating_sub(BEFORE_S), "exp": now_s + VALID_S, "iss": app.to_string(),
    });
    let said = format!("{}.{}", part(json!({ "alg": "RS256", "typ": "JWT" })), part(times));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), said.as_bytes(), &mut signature)
        .map_err(|_| refused("the app's private key does not sign", ""))?;
    Ok(Sealed::new(format!("{said}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

/// A token for the installation. `key` is the app's, PEM.
pub async fn exchange(app: &GithubApp, key: &Sealed) -> Result<Sealed, Refused> {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let jwt = jwt(app.app, &pair(key.reveal())?, now_s)?;
    let client = Client::builder()
        .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(artifacts::tls(app.ca.as_deref()))
        .connect_timeout(CONNECT)
        .timeout(ANSWER)
        .build()
        .map_err(|error| refused(error.to_string(), ""))?;
    let url = format!("{}/app/installations/{}/access_tokens", app.api, app.installation);
    let asked = client
        .post(&url)
        .header(header::ACCEPT, "application/vnd.github+json")
        .header("X-GitHub-Api-Version", "2022-11-28")
        .bearer_auth(jwt.reveal())
        .send()
        .await;
    let answer = asked.map_err(|error| Refused {
        why: format!("{} cannot be reached: {}", app.api, artifacts::chain(&error)),
        hint: Some(
            "the app's key is exchanged for a token by this machine: it has to reach the API; `gitops.access.ca` names a CA that is not everybody's"
                .into(),
        ),
        passing: true,
    })?;
    let code = answer.status().as_u16();
    let date = answer.headers().get(header::DATE).and_then(|d| d.to_str().ok()).and_then(seconds);
    let body = answer.text().await.unwrap_or_default();
    let said: Value = serde_json::from_str(&body).unwrap_or_default();
    if code == 201
        && let Some(token) = said["token"].as_str().filter(|token| !token.is_empty())
    {
        return Ok(Sealed::new(token));
    }
    Err(told(app, code, said["message"].as_str().unwrap_or_default(), date, now_s))
}

/// GitHub's answer, in words for who wrote the inventory.
fn told(app: &GithubApp, code: u16, message: &str, date: Option<u64>, now_s: u64) -> Refused {
    let skew = date.map_or(0, |date| date.abs_diff(now_s));
    let said = if message.is_empty() {
        format!("HTTP {code}")
    } else {
        format!("{message} (HTTP {code})")
    };
    if code == 401 && skew > SKEW_S {
        let side = if date.is_some_and(|date| date > now_s) { "behind" } else { "ahead of" };
        return refused(
            format!("{} says: {said}. This machine's clock is {skew} s {side} its own", app.api),
            "set this machine's clock (`timedatectl set-ntp true`): the token says from when to when it is valid",
        );
    }
    let hint = match code {
        401 => "`app_id` and `private_key` have to be of one app, and the key not deleted there",
        403 => {
            "the installation is suspended, or the app may not read contents: look at its page under Settings, Applications"
        }
        404 => {
            "`installation_id` is the number in the address of the installation's page; is the app still installed?"
        }
        422 => {
            "the app asks for rights that the installation did not grant: look at its page under Settings, Applications"
        }
        201 => "is `api` the address of a GitHub?",
        _ => "",
    };
    let what = match code {
        401 => format!("{} does not know the app {} by this key", app.api, app.app),
        404 => format!("the app {} has no installation {}", app.app, app.installation),
        _ => format!("{} gives no token", app.api),
    };
    Refused { passing: code >= 500 || code == 429, ..refused(format!("{what}: {said}"), hint) }
}

/// Of `Tue, 15 Nov 1994 08:12:31 GMT`, since 1970.
fn seconds(date: &str) -> Option<u64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut words = date.split_once(", ")?.1.split(' ');
    let day: u64 = words.next()?.parse().ok()?;
    let month = u64::try_from(MONTHS.find(words.next()?)? / 3).ok()?;
    let year: u64 = words.next()?.parse().ok()?;
    let mut time = words.next()?.split(':').map(|n| n.parse::<u64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    // Years begin in March, so that a leap day is the last of one.
    let (y, m) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
    Some(days.checked_sub(719_468)? * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
#[path = "github_tests.rs"]
mod tests;
