//! Client certificates, as the cluster itself signs them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Linux, kube::PKI};
use crate::{
    https::Https,
    kube::{certificate, read},
    ops::sys::{SysError, SysResult, Time, UserCertificate},
};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const SIGNER: &str = "kubernetes.io/kube-apiserver-client";
/// The controller manager signs within a second, unless its leader just went.
const SIGN_S: u64 = 60;

/// What became of a request: the certificate, or why there is none.
fn answer(object: &Value) -> Option<SysResult<String>> {
    if let Some(why) = read::refused(object) {
        return Some(Err(SysError::other(format!("the cluster does not sign it: {why}"))));
    }
    let encoded = object["status"]["certificate"].as_str().filter(|text| !text.is_empty())?;
    let decoded = STANDARD.decode(encoded).ok().and_then(|b| String::from_utf8(b).ok());
    Some(decoded.ok_or_else(|| SysError::other("what the cluster signed cannot be read")))
}

impl Linux {
    pub(super) async fn signed(&self, request: &str, valid_s: u32) -> SysResult<UserCertificate> {
        let api = self.own_api()?;
        let ca = self.text_of(&format!("{PKI}/ca.crt"));
        let ca = ca.ok_or_else(|| SysError::other("the cluster's CA cannot be read here"))?;
        let object = json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
            "metadata": { "generateName": "slipway-" },
            "spec": {
                "request": STANDARD.encode(request),
                "signerName": SIGNER,
                "usages": ["client auth"],
                "expirationSeconds": valid_s,
            },
        });
        let posted = api.post(REQUESTS, &object).await?;
        let Some(name) = posted["metadata"]["name"].as_str() else {
            return Err(SysError::other("the API server gave the request no name"));
        };
        let path = format!("{REQUESTS}/{name}");
        let certificate = self.approved(&api, &path).await;
        // One that stays goes by itself within the hour; it holds no secret.
        let _ = api.delete(&path).await;
        let certificate = certificate?;
        let ends_ms = certificate::read(&certificate).map(|read| read.ends_ms);
        let ends_ms = ends_ms.ok_or_else(|| {
            SysError::other("what the cluster signed cannot be read as a certificate")
        })?;
        Ok(UserCertificate { certificate, ca, ends_ms })
    }

    async fn approved(&self, api: &Https, path: &str) -> SysResult<String> {
        let approval = json!({ "status": { "conditions": [{
            "type": "Approved", "status": "True", "reason": "SlipwayKubeconfig",
            "message": "asked for by slipway kubeconfig",
        }] } });
        api.patch(&format!("{path}/approval"), "merge-patch+json", &approval).await?;
        let deadline = self.now_ms() + SIGN_S * 1000;
        loop {
            if let Some(answer) = answer(&api.get(path).await?) {
                return answer;
            }
            if self.now_ms() >= deadline {
                return Err(SysError::passing(format!(
                    "the cluster did not sign it within {SIGN_S} s"
                ))
                .hint("does kube-controller-manager run? `slipway status` shows the nodes"));
            }
            self.sleep_ms(200).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_request() {
        let of = |kind: &str| json!({ "status": { "conditions": [{ "type": kind, "status": "True", "message": "no" }] } });
        assert_eq!(answer(&of("Approved")), None);
        for kind in ["Denied", "Failed"] {
            let refused = answer(&of(kind)).unwrap().unwrap_err();
            assert!(refused.message.ends_with(": no"), "{refused}");
        }
        let signed = json!({ "status": { "certificate": STANDARD.encode("pem") } });
        assert_eq!(answer(&signed).unwrap().unwrap(), "pem");
    }
}
