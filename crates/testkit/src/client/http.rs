//! A client of the REST API: a base URL, a bearer token, JSON, problems.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::PATIENCE;

/// Calls as one principal, or as nobody. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// `GET /v1/tenants`, for messages.
    pub request: String,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body's bytes.
    pub body: Bytes,
}

/// What a problem (RFC 9457) says.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Problem {
    /// The status, repeated.
    pub status: u16,
    /// Our stable code.
    pub code: String,
    /// A sentence for people.
    #[serde(default)]
    pub detail: String,
    /// The request's id.
    #[serde(default)]
    pub request_id: String,
    /// Mistakes in the body, with JSON pointers.
    #[serde(default)]
    pub errors: Vec<Value>,
}

impl Http {
    /// Calls `http://address` as nobody.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn new(address: SocketAddr) -> Result<Self> {
        // The machine's proxy settings must not come between a test and a loopback port.
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        Ok(Self { client, base: format!("http://{address}"), token: None })
    }

    /// The same, with a bearer token.
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self.clone() }
    }

    /// `http://host:port`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request to fill in by hand; the token is in it.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request made by [`Http::request`].
    ///
    /// # Errors
    /// When there is no answer; any status is one.
    pub async fn send(request: reqwest::RequestBuilder) -> Result<Answer> {
        let (client, request) = request.build_split();
        let request = request?;
        let name = format!("{} {}", request.method(), request.url().path());
        let response = client.execute(request).await.with_context(|| name.clone())?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.with_context(|| name.clone())?;
        Ok(Answer { request: name, status, headers, body })
    }

    /// GET.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        Self::send(self.request(Method::GET, path)).await
    }

    /// POST with a JSON body.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        Self::send(self.request(Method::POST, path).json(body)).await
    }

    /// PUT with a JSON body.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        Self::send(self.request(Method::PUT, path).json(body)).await
    }

    /// PATCH with a JSON merge patch (RFC 7396).
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Answer> {
        let bytes = serde_json::to_vec(body)?;
        let request =
            self.request(Method::PATCH, path).header("content-type", "application/merge-patch+json");
        Self::send(request.body(bytes)).await
    }

    /// DELETE.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn delete(&self, path: &str) -> Result<Answer> {
        Self::send(self.request(Method::DELETE, path)).await
    }
}

impl Answer {
    /// The JSON body, if the status is the one expected.
    ///
    /// # Errors
    /// When it is another, with what the body says; when the body is not JSON.
    pub fn expect(self, status: u16) -> Result<Value> {
        if self.status.as_u16() != status {
            let body = String::from_utf8_lossy(&self.body).into_owned();
            bail!("{} answered {} and not {status}: {body}", self.request, self.status);
        }
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).with_context(|| format!("{} did not answer JSON", self.request))
    }

    /// The body's bytes, if the status is the one expected.
    ///
    /// # Errors
    /// When it is another.
    pub fn expect_bytes(self, status: u16) -> Result<Bytes> {
        if self.status.as_u16() != status {
            bail!("{} answered {} and not {status}", self.request, self.status);
        }
        Ok(self.body)
    }

    /// The problem, if the status and code are those expected.
    ///
    /// # Errors
    /// When they are others, or the answer is no problem document.
    pub fn expect_problem(self, status: u16, code: &str) -> Result<Problem> {
        let text = String::from_utf8_lossy(&self.body).into_owned();
        let media_type = self.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or("");
        if self.status.as_u16() != status || !media_type.starts_with("application/problem+json") {
            bail!(
                "{} answered {} ({media_type}) and not the problem {status} {code}: {text}",
                self.request,
                self.status
            );
        }
        let problem =
            serde_json::from_str::<Problem>(&text).with_context(|| format!("{}: {text}", self.request))?;
        if problem.code != code || problem.status != status {
            bail!("{} answered {status} {} and not {code}: {text}", self.request, problem.code);
        }
        Ok(problem)
    }
}
