//! Against a server on loopback that answers as GitHub does.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread::JoinHandle,
};

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

use super::*;
use crate::secret::Source;

const KEY: &str = include_str!("../tests/secrets/github-app.pem");

/// Answers once, and gives what was asked.
fn github(status: &str, headers: &str, body: &str) -> (GithubApp, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut part = [0; 4096];
        while !request.windows(4).any(|w| w == b"\r\n\r\n") {
            let read = stream.read(&mut part).unwrap();
            request.extend_from_slice(&part[..read]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    let key = Box::new(Source::Env("KEY".into()));
    (GithubApp { app: 123, installation: 456, key, api, ca: None }, asked)
}

async fn refusal(status: &str, headers: &str, body: &str) -> Refused {
    let (app, _) = github(status, headers, body);
    exchange(&app, &Sealed::new(KEY)).await.unwrap_err()
}

#[tokio::test]
async fn the_key_is_exchanged_for_a_token() {
    let (app, asked) =
        github("201 Created", "", r#"{"token": "ghs_x", "expires_at": "2026-01-01T00:00:00Z"}"#);
    assert_eq!(exchange(&app, &Sealed::new(KEY)).await.unwrap().reveal(), "ghs_x");
    let asked = asked.join().unwrap();
    assert!(asked.starts_with("POST /app/installations/456/access_tokens HTTP/1.1"), "{asked}");
    let jwt = asked.lines().find_map(|l| l.strip_prefix("authorization: Bearer ")).unwrap();
    let (said, signature) = jwt.rsplit_once('.').unwrap();
    let public = pair(KEY).unwrap().public().as_ref().to_vec();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)
        .verify(said.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
        .unwrap();
    let claims = URL_SAFE_NO_PAD.decode(said.split_once('.').unwrap().1).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["iss"], "123");
    let lasts = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert!(lasts <= 600, "GitHub takes ten minutes at most");
}

#[tokio::test]
async fn what_github_refuses_is_told() {
    let no = |why: &str| format!(r#"{{"message": "{why}"}}"#);
    let unknown =
        refusal("401 Unauthorized", "", &no("A JSON web token could not be decoded")).await;
    assert!(unknown.why.contains("does not know the app 123 by this key: A JSON web token"));
    let late = refusal(
        "401 Unauthorized",
        "Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n",
        &no("'Expiration time' claim ('exp') is too far in the future"),
    )
    .await;
    assert!(late.why.contains("clock is") && late.why.contains("ahead of its own"), "{}", late.why);
    assert!(late.hint.unwrap().contains("timedatectl"));
    let gone = refusal("404 Not Found", "", &no("Not Found")).await;
    assert!(gone.why.contains("the app 123 has no installation 456"), "{}", gone.why);
    let suspended = refusal("403 Forbidden", "", &no("This installation has been suspended")).await;
    assert!(suspended.why.contains("has been suspended (HTTP 403)"), "{}", suspended.why);
    assert!(refusal("502 Bad Gateway", "", "").await.passing);
    // A page of somebody else's.
    assert!(!refusal("201 Created", "", "<html>").await.passing);
    let app = github("", "", "").0;
    let bad = exchange(&app, &Sealed::new("no key")).await.unwrap_err();
    assert!(bad.why.contains("no RSA key in PEM"));
    let away = GithubApp { api: "http://127.0.0.1:1".into(), ..app };
    assert!(exchange(&away, &Sealed::new(KEY)).await.unwrap_err().passing);
}

#[test]
fn dates_of_http() {
    assert_eq!(seconds("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
    assert_eq!(seconds("Tue, 15 Nov 1994 08:12:31 GMT"), Some(784_887_151));
    assert_eq!(seconds("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
    assert_eq!(seconds("soon"), None);
}
