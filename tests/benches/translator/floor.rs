//! The floor: a client that only inserts, with every transaction built beforehand.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use meridian_compile::{Desired, DesiredRow, LinkId};
use ovsdb::blocking::Client;
use ovsdb::testing::OvsdbServer;
use ovsdb::{Atom, Datum, Mutation, Transaction, Where};
use ovsdb_schemas::northbound::{DATABASE, logical_switch_port};

/// Numbers of rows per transaction that the floor is tried with; the best counts.
const BATCHES: [usize; 4] = [100, 200, 500, 1_000];

/// The least time in which a client inserts these rows into an empty database, and its batch size. A client that follows
/// keeps a replica of what it writes, as we must: the server tells it every row again.
pub(crate) fn insert_everything(desired: &Desired, follow: bool) -> (Duration, usize) {
    BATCHES
        .into_iter()
        .map(|batch| {
            let transactions = transactions(desired, batch);
            let server = crate::harness::northbound();
            (send(&server, &transactions, follow), batch)
        })
        .min()
        .expect("there are batch sizes")
}

/// The time from sending to the answer for each of these rows, inserted one by one.
pub(crate) fn send_each(server: &OvsdbServer, transactions: &[Transaction]) -> Vec<Duration> {
    let mut client = client(server);
    transactions
        .iter()
        .map(|transaction| {
            let start = Instant::now();
            client.transact(transaction).expect("the rows are valid");
            start.elapsed()
        })
        .collect()
}

/// Inserts these rows into an empty database.
pub(crate) fn fill(server: &OvsdbServer, desired: &Desired) {
    send(server, &transactions(desired, BATCHES[1]), false);
}

fn send(server: &OvsdbServer, transactions: &[Transaction], follow: bool) -> Duration {
    let mut client = client(server);
    client.schema(DATABASE).expect("a schema");
    if follow {
        client
            .monitor(DATABASE, &meridian_northbound::monitors())
            .expect("the server can be followed");
    }
    let start = Instant::now();
    for transaction in transactions {
        client.transact(transaction).expect("the rows are valid");
    }
    start.elapsed()
}

fn client(server: &OvsdbServer) -> Client {
    Client::connect(&server.socket(), Instant::now() + crate::harness::PATIENCE).expect("the server listens")
}

/// Everything but ports in one transaction, then ports in batches, each with the links that hold them.
fn transactions(desired: &Desired, batch: usize) -> Vec<Transaction> {
    let holders = holders(desired);
    let mut structure = Builder::default();
    let tables: Vec<&'static str> = desired
        .tables()
        .filter(|table| *table != logical_switch_port::TABLE)
        .collect();
    for row in tables.iter().flat_map(|table| desired.rows(table)) {
        structure.insert(row, &holders);
    }
    let mut transactions = vec![structure.finish()];
    // Ports of one switch side by side are inserted faster than in any other order.
    let mut ports: Vec<&DesiredRow> = desired.rows(logical_switch_port::TABLE).collect();
    ports.sort_by_key(|row| {
        holders
            .get(&Atom::Uuid(row.uuid))
            .and_then(|links| links.first())
            .map(|link| link.parent)
    });
    for chunk in ports.chunks(batch) {
        let mut builder = Builder::default();
        for row in chunk {
            builder.insert(row, &holders);
        }
        transactions.push(builder.finish());
    }
    transactions
}

/// The transactions that insert these rows, one each.
pub(crate) fn one_by_one<'a>(desired: &Desired, rows: impl Iterator<Item = &'a DesiredRow>) -> Vec<Transaction> {
    let holders = holders(desired);
    rows.map(|row| {
        let mut builder = Builder::default();
        builder.insert(row, &holders);
        builder.finish()
    })
    .collect()
}

/// The links that hold each row.
fn holders(desired: &Desired) -> BTreeMap<Atom, Vec<LinkId>> {
    let mut holders: BTreeMap<Atom, Vec<LinkId>> = BTreeMap::new();
    for (table, parent, column) in desired.link_columns() {
        for (value, _) in desired.links(table, parent, column) {
            let link = LinkId {
                table,
                parent,
                column,
                value: value.clone(),
            };
            holders.entry(value.clone()).or_default().push(link);
        }
    }
    holders
}

struct Builder {
    transaction: Transaction,
    links: BTreeMap<(&'static str, uuid::Uuid, &'static str), Vec<Atom>>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            transaction: Transaction::new(DATABASE),
            links: BTreeMap::new(),
        }
    }
}

impl Builder {
    fn insert(&mut self, row: &DesiredRow, holders: &BTreeMap<Atom, Vec<LinkId>>) {
        let columns = row.columns.iter().filter(|(_, datum)| !datum.is_empty());
        self.transaction.insert(
            row.table,
            Some(row.uuid),
            columns.map(|(column, datum)| (*column, datum.clone())),
        );
        for link in holders.get(&Atom::Uuid(row.uuid)).into_iter().flatten() {
            self.links
                .entry((link.table, link.parent, link.column))
                .or_default()
                .push(link.value.clone());
        }
    }

    fn finish(mut self) -> Transaction {
        for ((table, parent, column), values) in self.links {
            self.transaction.mutate(
                table,
                Where::Uuid(parent),
                [Mutation::insert(column, Datum::set(values))],
            );
        }
        self.transaction
    }
}
