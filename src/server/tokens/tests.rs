//! Every source of tokens, against a server on loopback.

use std::{sync::Arc, time::Duration};

use super::{testing::TokenServer, *};
use crate::{
    clock::{Moment, UnixTime},
    types::Secret,
    upstream::{AwsKeys, ContainerToken, Credential, EntraClient, ServiceAccount},
};

const NOW: UnixTime = UnixTime(Duration::from_secs(1_800_000_000));

fn bearer(fetched: &Fetched) -> (&str, Option<u64>) {
    let Token::Bearer(token) = &fetched.token else { panic!("a bearer token") };
    (token.expose(), fetched.life.map(|life| life.as_secs()))
}

fn aws(fetched: &Fetched) -> (&str, &str, Option<&str>, Option<u64>) {
    let Token::Aws(AwsKeys { id, secret, session }) = &fetched.token else { panic!("AWS keys") };
    (id, secret.expose(), session.as_ref().map(Secret::expose), fetched.life.map(|life| life.as_secs()))
}

fn entra_at(url: String) -> EntraClient {
    EntraClient {
        url,
        client_id: "app".into(),
        secret: Secret::new("s&cret".into()),
        scope: "https://cognitiveservices.azure.com/.default".into(),
    }
}

#[tokio::test]
async fn entra_gives_a_token_for_a_clients_secret() {
    let server =
        TokenServer::start(&[(200, r#"{"token_type":"Bearer","expires_in":"3599","access_token":"t1"}"#)])
            .await;
    let fetched = oauth::entra(&entra_at(server.url("/tenant/oauth2/v2.0/token"))).await.expect("a token");
    assert_eq!(bearer(&fetched), ("t1", Some(3_599)));
    let asked = &server.asked()[0];
    assert!(asked.starts_with("POST /tenant/oauth2/v2.0/token HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("content-type: application/x-www-form-urlencoded"), "{asked}");
    let body = "grant_type=client_credentials&client_id=app&client_secret=s%26cret\
                &scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default";
    assert!(asked.ends_with(body), "{asked}");
}

#[tokio::test]
async fn a_refusal_says_why_and_not_what_was_sent() {
    let refusal = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid\r\nsecret"}"#;
    let server = TokenServer::start(&[(401, refusal), (200, "{}"), (200, r#"{"access_token":"a b"}"#)]).await;
    let client = entra_at(server.url("/t"));
    let fault = oauth::entra(&client).await.expect_err("refused").to_string();
    assert_eq!(fault, "it answered 401: invalid_client AADSTS7000215: Invalid  secret");
    let fault = oauth::entra(&client).await.expect_err("nothing there").to_string();
    assert!(fault.contains("no `access_token`"), "{fault}");
    let fault = oauth::entra(&client).await.expect_err("no token").to_string();
    assert!(fault.contains("`access_token` is none"), "{fault}");
    let fault = oauth::entra(&client).await.expect_err("it is gone").to_string();
    assert!(!fault.contains("s&cret") && !fault.contains("s%26cret"), "{fault}");
}

#[tokio::test]
async fn google_gives_a_token_for_an_assertion() {
    let server = TokenServer::start(&[(200, r#"{"access_token":"ya29.1","expires_in":3599}"#)]).await;
    let file = include_str!("../../../tests/data/service-account.json");
    let file = file.replace("https://oauth2.googleapis.com/token", &server.url("/token"));
    let account = ServiceAccount::read(&file).expect("an account");
    let fetched = oauth::google(&account, NOW).await.expect("a token");
    assert_eq!(bearer(&fetched), ("ya29.1", Some(3_599)));
    let asked = &server.asked()[0];
    let grant = "\r\n\r\ngrant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=ey";
    assert!(asked.starts_with("POST /token ") && asked.contains(grant), "{asked}");
    let assertion = account.assertion(NOW).expect("signed");
    assert!(asked.ends_with(assertion.expose()), "RS256 is the same each time");
}

#[tokio::test]
async fn an_instances_role_is_asked_for_in_three_steps() {
    let credentials = r#"{"Code":"Success","AccessKeyId":"ASIA1","SecretAccessKey":"s","Token":"st","Expiration":"2027-01-15T09:00:00Z"}"#;
    let server = TokenServer::start(&[(200, "session-1"), (200, "my-role\n"), (200, credentials)]).await;
    let now = UnixTime::parse("2027-01-15T08:00:00Z").expect("a time");
    let fetched = aws::instance_role(&server.url(""), now).await.expect("credentials");
    assert_eq!(aws(&fetched), ("ASIA1", "s", Some("st"), Some(3_600)));
    let asked = server.asked();
    assert!(asked[0].starts_with("PUT /latest/api/token ") && asked[0].contains("ttl-seconds: 21600"));
    assert!(asked[1].starts_with("GET /latest/meta-data/iam/security-credentials/ "), "{}", asked[1]);
    assert!(asked[2].starts_with("GET /latest/meta-data/iam/security-credentials/my-role "), "{}", asked[2]);
    assert!(asked[1..].iter().all(|asked| asked.contains("x-aws-ec2-metadata-token: session-1")));
}

#[tokio::test]
async fn an_instance_without_a_role_or_with_a_broken_one_gives_nothing() {
    let check = async |answers: &[(u16, &str)], words: &str| {
        let server = TokenServer::start(answers).await;
        let fault = aws::instance_role(&server.url(""), NOW).await.expect_err("nothing").to_string();
        assert!(fault.contains(words), "{fault}");
    };
    check(&[(403, "no")], "answered 403: no").await;
    check(&[(200, "s"), (404, "none")], "answered 404").await;
    check(&[(200, "s"), (200, "")], "no role").await;
    check(&[(200, "s"), (200, "../other")], "no role").await;
    check(&[(200, "s"), (200, "r"), (200, r#"{"Code":"AssumeRoleUnauthorizedAccess"}"#)], "`Code`").await;
    check(&[(200, "s"), (200, "r"), (200, "<html>")], "not JSON").await;
    let no_time = r#"{"AccessKeyId":"A","SecretAccessKey":"s","Expiration":"soon"}"#;
    check(&[(200, "s"), (200, "r"), (200, no_time)], "not a time").await;
}

#[tokio::test]
async fn a_containers_agent_is_shown_what_its_file_holds_now() {
    let credentials =
        r#"{"AccessKeyId":"ASIA2","SecretAccessKey":"s","Token":"st","Expiration":"2027-01-15T08:10:00Z"}"#;
    let server = TokenServer::start(&[(200, credentials)]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "agent-token\n").expect("written");
    let now = UnixTime::parse("2027-01-15T08:00:00Z").expect("a time");
    let token = ContainerToken::File(file);
    let fetched =
        aws::container(&server.url("/v1/credentials"), Some(&token), now).await.expect("credentials");
    assert_eq!(aws(&fetched), ("ASIA2", "s", Some("st"), Some(600)));
    assert!(server.asked()[0].contains("authorization: agent-token\r\n"), "{}", server.asked()[0]);
}

#[tokio::test]
async fn a_pods_token_is_changed_for_a_role() {
    let xml = "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
        <AssumeRoleWithWebIdentityResult><Credentials><SessionToken>st=</SessionToken>\
        <SecretAccessKey>sk</SecretAccessKey><Expiration>2027-01-15T09:00:00Z</Expiration>\
        <AccessKeyId>ASIA3</AccessKeyId></Credentials></AssumeRoleWithWebIdentityResult>\
        </AssumeRoleWithWebIdentityResponse>";
    let refusal = "<ErrorResponse><Error><Code>ExpiredTokenException</Code><Message>Token expired</Message></Error></ErrorResponse>";
    let server = TokenServer::start(&[(200, xml), (400, refusal)]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "eyJ.a.b\n").expect("written");
    let now = UnixTime::parse("2027-01-15T08:00:00Z").expect("a time");
    let url = server.url("");
    let ask = || aws::web_identity(&url, "arn:aws:iam::1:role/r", "warmkey", &file, now);
    assert_eq!(aws(&ask().await.expect("credentials")), ("ASIA3", "sk", Some("st="), Some(3_600)));
    let body = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr\
                &RoleSessionName=warmkey&WebIdentityToken=eyJ.a.b";
    assert!(server.asked()[0].ends_with(body), "{}", server.asked()[0]);
    assert_eq!(ask().await.expect_err("refused").to_string(), "it answered 400: Token expired");
}

#[tokio::test]
async fn a_profile_is_a_section_of_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("credentials");
    std::fs::write(&file, "[ci]\naws_access_key_id=A\naws_secret_access_key=S\n[sso]\nsso_session=x\n")
        .expect("written");
    assert_eq!(aws(&aws::profile(&file, "ci").await.expect("keys")), ("A", "S", None, None));
    let fault = aws::profile(&file, "sso").await.expect_err("no keys").to_string();
    assert!(fault.contains("[sso] has no `aws_access_key_id`"), "{fault}");
    let fault = aws::profile(&file, "none").await.expect_err("no section").to_string();
    assert!(fault.contains("has no section `[none]`"), "{fault}");
}

#[tokio::test]
async fn a_renewal_fills_the_credential_and_a_failed_one_leaves_it() {
    let good = r#"{"access_token":"t1","expires_in":3600}"#;
    let server = TokenServer::start(&[(200, good), (503, "")]).await;
    let credential = Arc::new(Credential::grant(Grant::Entra(entra_at(server.url("/t")))));
    assert!(!credential.is_ready(clock::now()));
    let due = |now| credential.claim_renewal(now).expect("due");
    renew("e".into(), due(clock::now())).await;
    let now = clock::now();
    let granted = credential.token(now).expect("a token");
    assert!(matches!(&granted.token, Token::Bearer(token) if token.expose() == "t1"));
    let later: Moment = now + Duration::from_secs(3_400);
    renew("e".into(), due(later)).await;
    assert!(credential.token(later).is_some(), "used until it expires");
    assert_eq!(server.asked().len(), 2);
}
