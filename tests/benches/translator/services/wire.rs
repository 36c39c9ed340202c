//! What goes to the server, as the server itself logs it.

use ovsdb::testing::OvsdbServer;
use ovsdb_schemas::northbound::DATABASE;
use serde_json::Value;

/// Has the server log every message from here on.
pub(crate) fn listen(server: &OvsdbServer) {
    server.appctl(&["vlog/set", "jsonrpc:console:dbg"]);
}

/// The operations that the server was asked for under a lock since [`listen`], those aside that neither change nor read
/// a row; ends it.
pub(crate) fn heard(server: &OvsdbServer) -> Vec<Value> {
    server.appctl(&["vlog/set", "jsonrpc:console:info"]);
    let log = std::fs::read_to_string(server.folder().join("log")).expect("the server logs to this file");
    let requests = log.lines().filter_map(|line| {
        let (_, params) = line.split_once("received request, method=\"transact\", params=")?;
        let (params, _) = params.rsplit_once(", id=")?;
        serde_json::from_str::<Vec<Value>>(params).ok()
    });
    let is_assert = |operation: &Value| operation["op"] == "assert";
    requests
        .filter(|params| params[0] == DATABASE && params.iter().any(is_assert))
        .flat_map(|params| params.into_iter().skip(1))
        .filter(|operation| !is_assert(operation) && operation["op"] != "comment")
        .collect()
}

/// An operation in short, with how many keys or values each mutation has.
pub(crate) fn text(operation: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let mutations = operation["mutations"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mutations = mutations.iter().map(|mutation| {
        let values = mutation[2][1].as_array().map_or(1, Vec::len);
        format!("{} {values} of {}", word(&mutation[1]), word(&mutation[0]))
    });
    let mutations: Vec<String> = mutations.collect();
    format!(
        "{} {}: {}",
        word(&operation["op"]),
        word(&operation["table"]),
        mutations.join(", ")
    )
}
