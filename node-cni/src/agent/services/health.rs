//! Answers load balancers that ask whether this node has endpoints of a service, as kube-proxy does.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::watch;

use super::http;
use super::plan::HealthCheck;

/// The servers, one a port.
#[derive(Debug, Default)]
pub(in crate::agent) struct HealthChecks {
    /// What each answers; a server ends with its sender.
    servers: BTreeMap<u16, watch::Sender<Answer>>,
}

/// What a load balancer is told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    check: HealthCheck,
    /// The host hands on what comes for services. Who does not is no help, whatever endpoints it has.
    served: bool,
}

impl HealthChecks {
    /// Serves these checks and no others; yields what is wrong, which another call may mend.
    pub(in crate::agent) fn ensure(&mut self, wanted: &BTreeMap<u16, HealthCheck>, served: bool) -> Vec<String> {
        self.servers.retain(|port, _| wanted.contains_key(port));
        let mut problems = Vec::new();
        for (&port, check) in wanted {
            let check = check.clone();
            let wanted = Answer { check, served };
            if let Some(server) = self.servers.get(&port) {
                server.send_if_modified(|current| std::mem::replace(current, wanted.clone()) != wanted);
                continue;
            }
            match http::listen(http::everywhere(port)) {
                Ok(listener) => {
                    let (sender, told) = watch::channel(wanted);
                    let router = Router::new().fallback(answer).with_state(told.clone());
                    tokio::spawn(http::serve(listener, router, until_unwanted(told)));
                    self.servers.insert(port, sender);
                }
                Err(error) => problems.push(format!(
                    "service {}/{}: cannot answer health checks on port {port}: {error}",
                    wanted.check.namespace, wanted.check.name
                )),
            }
        }
        problems
    }
}

async fn until_unwanted(mut told: watch::Receiver<Answer>) {
    while told.changed().await.is_ok() {}
}

async fn answer(State(told): State<watch::Receiver<Answer>>) -> Response {
    let Answer { check, served } = told.borrow().clone();
    let HealthCheck { namespace, name, ready } = check;
    let code = if served && ready > 0 {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/json"),
        (header::X_CONTENT_TYPE_OPTIONS.as_str(), "nosniff"),
        ("x-load-balancing-endpoint-weight", &*ready.to_string()),
    ];
    let body = json!({
        "service": {"namespace": namespace, "name": name},
        "localEndpoints": ready,
        "serviceProxyHealthy": served,
    });
    (code, headers, body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    fn wanted(port: u16, ready: usize) -> BTreeMap<u16, HealthCheck> {
        let check = HealthCheck {
            namespace: "shop".into(),
            name: "web".into(),
            ready,
        };
        [(port, check)].into()
    }

    async fn get(address: (&str, u16)) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn free_port() -> u16 {
        let listener = TcpListener::bind("[::]:0").await.unwrap();
        listener.local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn a_check_tells_how_many_endpoints_are_here_and_ends_with_its_service() {
        let port = free_port().await;
        let mut checks = HealthChecks::default();
        assert!(checks.ensure(&wanted(port, 2), true).is_empty());
        let answer = get(("127.0.0.1", port)).await.to_lowercase();
        for expected in [
            "http/1.0 200 ok\r\n",
            "content-type: application/json\r\n",
            "x-content-type-options: nosniff\r\n",
            "x-load-balancing-endpoint-weight: 2\r\n",
        ] {
            assert!(answer.contains(expected), "{answer}");
        }
        let body: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(
            body,
            json!({"service": {"namespace": "shop", "name": "web"}, "localendpoints": 2, "serviceproxyhealthy": true})
        );
        for (ready, served) in [(0, true), (2, false)] {
            assert!(checks.ensure(&wanted(port, ready), served).is_empty());
            let answer = get(("::1", port)).await;
            assert!(answer.starts_with("HTTP/1.0 503 "), "{answer}");
            assert!(
                answer.contains(&format!("\"serviceProxyHealthy\":{served}")),
                "{answer}"
            );
        }
        checks.ensure(&BTreeMap::new(), true);
        // The server hears of its end when it is next asked to do something.
        while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_a_problem_by_name_until_it_is_free() {
        let listener = TcpListener::bind("[::]:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut checks = HealthChecks::default();
        let problems = checks.ensure(&wanted(port, 1), true);
        let expected = format!("service shop/web: cannot answer health checks on port {port}: ");
        assert!(problems[0].starts_with(&expected), "{problems:?}");
        drop(listener);
        assert!(checks.ensure(&wanted(port, 1), true).is_empty());
        assert!(get(("127.0.0.1", port)).await.contains("200 OK"));
    }
}
