//! Sign-in, sessions and the tokens of forms, through a real socket.

use super::{Api, check, header, with_api};
use reqwest::{RequestBuilder, Response, StatusCode};

const FORM: &str = "application/x-www-form-urlencoded";

impl Api {
    fn post(&self, path: &str, body: &str) -> RequestBuilder {
        let request = self.client.post(self.base.join(path).unwrap());
        request.header("content-type", FORM).body(body.to_owned())
    }

    async fn sign_in(&self, token: &str, next: &str) -> Response {
        let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let body = format!("operator=Asha+Rao&token={token}&next={next}");
        self.post("/sign-in", &body).send().await.unwrap()
    }

    /// Returns a page as a browser with this cookie gets it.
    async fn page(&self, path: &str, cookie: &str) -> Response {
        let request = self.client.get(self.base.join(path).unwrap());
        request.header("accept", "text/html").header("cookie", cookie).send().await.unwrap()
    }
}

/// Returns the cookie that an answer sets, without its attributes.
fn cookie(response: &Response) -> String {
    header(response, "set-cookie").split(';').next().unwrap_or_default().to_owned()
}

#[test]
fn a_browser_signs_in_with_the_token_and_out_again() {
    with_api(Some("t0ken"), |api| async move {
        let asked = api.page("/accounts?after=1", "").await;
        assert_eq!(asked.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(header(&asked, "www-authenticate"), "Bearer");
        let form = asked.text().await.unwrap();
        assert!(form.contains("name=\"next\" value=\"/accounts?after=1\""), "{form}");

        let wrong = api.sign_in("wrong", "/").await;
        assert_eq!((wrong.status(), cookie(&wrong)), (StatusCode::UNAUTHORIZED, String::new()));
        assert!(wrong.text().await.unwrap().contains("The token is wrong."));

        let signed = api.sign_in("t0ken", "/accounts?after=1").await;
        assert_eq!(signed.status(), StatusCode::SEE_OTHER);
        assert_eq!(header(&signed, "location"), "/accounts?after=1");
        let attributes = header(&signed, "set-cookie").to_owned();
        for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=28800"] {
            assert!(attributes.contains(attribute), "{attributes}");
        }
        assert!(!attributes.contains("Secure"), "{attributes}");
        let session = cookie(&signed);
        let page = api.page("/accounts", &session).await;
        assert_eq!(page.status(), StatusCode::OK);
        let page = page.text().await.unwrap();
        assert!(page.contains("Signed in as <strong>Asha Rao</strong>"), "{page}");
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"), "{page}");

        let forged = format!("{session}x");
        assert_eq!(api.page("/accounts", &forged).await.status(), StatusCode::UNAUTHORIZED);
        let out = api.post("/sign-out", "").header("cookie", session).send().await.unwrap();
        assert_eq!(
            (cookie(&out), out.status()),
            ("ringback_session=".to_owned(), StatusCode::SEE_OTHER)
        );

        let behind_tls = api.post("/sign-in", "operator=a&token=t0ken");
        let behind_tls = behind_tls.header("x-forwarded-proto", "https").send().await.unwrap();
        assert!(header(&behind_tls, "set-cookie").contains("Secure"));
    });
}

#[test]
fn tries_to_sign_in_are_limited() {
    with_api(Some("t0ken"), |api| async move {
        for _ in 0..5 {
            assert_eq!(api.sign_in("wrong", "/").await.status(), StatusCode::UNAUTHORIZED);
        }
        let refused = api.sign_in("t0ken", "/").await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!((header(&refused, "retry-after"), cookie(&refused)), ("60", String::new()));
    });
}

#[test]
fn a_session_changes_something_only_by_a_form_of_its_own_page() {
    with_api(Some("t0ken"), |api| async move {
        let session = cookie(&api.sign_in("t0ken", "/").await);
        let other = cookie(&api.sign_in("t0ken", "/").await);
        let form_token = async |session: &str| {
            let page = api.page("/", session).await.text().await.unwrap();
            let field = "name=\"csrf\" value=\"";
            let rest = page.split(field).nth(1).map(str::to_owned);
            rest.and_then(|rest| rest.split('"').next().map(str::to_owned))
        };
        assert_eq!(form_token(&session).await, None, "the overview changes nothing");
        // No reading has this number, so that a form that is accepted changes nothing either.
        let cancel = async |session: &str, body: &str| {
            let request = api.post("/readings/77/cancel", body).header("cookie", session);
            request.send().await.unwrap().status()
        };
        let forged = cancel(&session, "").await;
        assert_eq!(forged, StatusCode::FORBIDDEN);
        assert_eq!(cancel(&session, "csrf=x").await, StatusCode::FORBIDDEN);
        let replay = async |session: &str| {
            let page = api.page("/replays/1", session).await.status();
            assert_eq!(page, StatusCode::NOT_FOUND);
        };
        replay(&other).await;
        let with_header = api.client.delete(api.base.join("/api/v1/readings/77").unwrap());
        let with_header = with_header.header("cookie", &session).send().await.unwrap();
        assert_eq!(with_header.status(), StatusCode::FORBIDDEN);
        let in_json = api.client.post(api.base.join("/readings/77/cancel").unwrap());
        let in_json = in_json.header("cookie", &session).header("content-type", "application/json");
        assert_eq!(in_json.send().await.unwrap().status(), StatusCode::FORBIDDEN);
        // A program with the token needs no form.
        let program = api.client.delete(api.base.join("/api/v1/readings/77").unwrap());
        let program = program.bearer_auth("t0ken").send().await.unwrap();
        check(program, 404, "{\"error\":\"no reading 77 runs on this instance\"}\n").await;
    });
}

#[test]
fn without_a_token_only_forms_need_the_token_of_a_page() {
    with_api(None, |api| async move {
        let form = api.post("/readings/77/cancel", "").send().await.unwrap();
        assert_eq!(form.status(), StatusCode::FORBIDDEN);
        // Browsers ask before they send one of these for a page of another site, and the daemon never agrees.
        let url = || api.base.join("/api/v1/readings/77").unwrap();
        let asked = api.client.request(reqwest::Method::OPTIONS, url()).send().await.unwrap();
        assert_eq!(header(&asked, "access-control-allow-origin"), "");
        let program = api.client.delete(url()).send().await.unwrap();
        check(program, 404, "{\"error\":\"no reading 77 runs on this instance\"}\n").await;
    });
}

#[test]
fn without_a_token_a_foreign_name_of_the_host_is_refused() {
    with_api(None, |api| async move {
        for (host, status) in [
            ("127.0.0.1:9464", 200),
            ("localhost:9464", 200),
            ("[::1]:9464", 200),
            ("evil.example", 403),
            ("evil.example:9464", 403),
        ] {
            for path in ["/", "/api/v1/accounts"] {
                let got = api.get_with(path, "host", host).await.status().as_u16();
                assert_eq!(got, status, "{host}{path}");
            }
        }
        // Probes and style sheets show nothing of the customers'.
        assert_eq!(api.get_with("/livez", "host", "evil.example").await.status(), StatusCode::OK);
    });
}

#[test]
fn the_style_sheet_and_the_script_need_no_token_and_every_page_forbids_all_others() {
    with_api(Some("t0ken"), |api| async move {
        for (path, kind) in [
            ("/assets/console.css", "text/css; charset=utf-8"),
            ("/assets/console.js", "text/javascript; charset=utf-8"),
        ] {
            let asset = api.get(path).await;
            assert_eq!((asset.status(), header(&asset, "content-type")), (StatusCode::OK, kind));
        }
        let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";
        assert_eq!(header(&api.page("/", "").await, "content-security-policy"), policy);
    });
}

#[test]
fn the_document_describes_every_operation_and_each_one_exists() {
    with_api(None, |api| async move {
        let text = api.get("/api/v1/openapi.json").await.text().await.unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let paths = document["paths"].as_object().unwrap();
        assert!(paths.len() > 12, "{text}");
        for (path, operations) in paths {
            for method in operations.as_object().unwrap().keys() {
                let path = path.replace("{id}", "1").replace("{reading}", "1");
                let path = format!("{}?no=such", path.replace(['{', '}'], ""));
                let url = api.base.join(&path).unwrap();
                let method = method.to_uppercase().parse().unwrap();
                // A wrong parameter ends the request before anything is read or changed.
                let request = api.client.request(method, url);
                let status =
                    request.header("content-type", FORM).body("no=such").send().await.unwrap();
                assert_ne!(status.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
                let body = status.text().await.unwrap();
                assert_ne!(body, "no such page\n", "{path}");
            }
        }
    });
}
