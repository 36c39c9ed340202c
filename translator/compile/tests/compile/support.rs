//! A compiler with few words: `Lab::of("10.0.0.0/16").with(Node::test("a"))`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use meridian_api::port::PortFacts;
use meridian_api::service::ServiceFacts;
use meridian_compile::{
    Claim, Compiler, Config, Delta, Desired, DesiredRow, PathQuestion, PathTarget, Settings, Verdict, row_uuid,
};
use meridian_model::{Event, Key, Object, PodKey};
use ovsdb::Uuid;

pub(crate) const LSP: &str = "Logical_Switch_Port";
pub(crate) const BALANCER: &str = "Load_Balancer";

pub(crate) fn config(cluster_cidrs: &[&str], host_slice_v4: u8, host_slice_v6: u8) -> Config {
    let cluster_cidrs = cluster_cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
    Config::new(Settings {
        cluster_cidrs,
        host_slice_v4,
        host_slice_v6,
        ..Settings::default()
    })
    .unwrap()
}

/// An IPv4 lab with addresses for services.
pub(crate) fn ipv4() -> Lab {
    with_services(&["10.244.0.0/16"], &["10.96.0.0/16"])
}

/// A dual-stack lab with addresses for services.
pub(crate) fn dual_stack() -> Lab {
    let clusters = ["10.244.0.0/16", "fd00:10:244::/48"];
    with_services(&clusters, &["10.96.0.0/16", "fd00:10:96::/112"])
}

fn with_services(cluster_cidrs: &[&str], service_cidrs: &[&str]) -> Lab {
    let read = |cidrs: &[&str]| cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
    let config = Config::new(Settings {
        cluster_cidrs: read(cluster_cidrs),
        service_cidrs: read(service_cidrs),
        ..Settings::default()
    });
    Lab::new(config.unwrap())
}

/// Backends by frontend of a load balancer.
pub(crate) fn vips(lab: &Lab, balancer: &str) -> BTreeMap<String, String> {
    lab.row(BALANCER, balancer).map(vips_of).unwrap_or_default()
}

pub(crate) fn vips_of(balancer: &DesiredRow) -> BTreeMap<String, String> {
    let text = |atom: &ovsdb::Atom| atom.as_str().unwrap().to_owned();
    let vips = balancer.get("vips").unwrap().pairs().iter();
    vips.map(|(key, value)| (text(key), text(value))).collect()
}

/// The load balancers that a switch has, by itself and by its groups.
pub(crate) fn balancers(desired: &Desired, switch: Uuid) -> Vec<&DesiredRow> {
    let links = |table, parent, column| -> Vec<Uuid> {
        let links = desired.links(table, parent, column);
        links.map(|(atom, _)| atom.as_uuid().unwrap()).collect()
    };
    let groups = links("Logical_Switch", switch, "load_balancer_group");
    let of_groups = groups
        .iter()
        .flat_map(|&group| links("Load_Balancer_Group", group, "load_balancer"));
    let own = links("Logical_Switch", switch, "load_balancer");
    let all = of_groups.chain(own);
    all.map(|balancer| desired.row(BALANCER, balancer).unwrap()).collect()
}

/// A compiler that compiles after every step.
pub(crate) struct Lab(pub(crate) Compiler);

impl Lab {
    /// IPv4, dual stack with two CIDRs; slices of /24 and /64.
    pub(crate) fn of(cluster_cidrs: &[&str]) -> Self {
        Self::new(config(cluster_cidrs, 24, 64))
    }

    pub(crate) fn new(config: Config) -> Self {
        let mut compiler = Compiler::new(config);
        compiler.compile();
        Self(compiler)
    }

    pub(crate) fn with(mut self, object: impl Into<Object>) -> Self {
        self.apply(object);
        self
    }

    pub(crate) fn apply(&mut self, object: impl Into<Object>) -> Delta {
        self.0.apply(Event::apply(object));
        self.0.compile()
    }

    pub(crate) fn delete(&mut self, key: Key) -> Delta {
        self.0.apply(Event::Delete(key));
        self.0.compile()
    }

    /// A compiler that starts anew with the same objects, and the claims the present one has.
    pub(crate) fn restarted(&self) -> Self {
        self.restarted_with(self.0.claims())
    }

    pub(crate) fn restarted_with(&self, claims: Vec<Claim>) -> Self {
        let mut compiler = Compiler::new(self.0.config().clone());
        compiler.claim(claims);
        for node in self.0.cluster().nodes() {
            compiler.apply(Event::apply((**node).clone()));
        }
        for namespace in self.0.cluster().namespaces() {
            compiler.apply(Event::apply((**namespace).clone()));
        }
        for vpc in self.0.cluster().vpcs() {
            compiler.apply(Event::apply((**vpc).clone()));
        }
        for subnet in self.0.cluster().subnets() {
            compiler.apply(Event::apply((**subnet).clone()));
        }
        for definition in self.0.cluster().network_attachments() {
            compiler.apply(Event::apply((**definition).clone()));
        }
        for pod in self.0.cluster().pods() {
            compiler.apply(Event::apply((**pod).clone()));
        }
        compiler.compile();
        Self(compiler)
    }

    pub(crate) fn row(&self, table: &str, key: &str) -> Option<&DesiredRow> {
        self.0.desired().rows(table).find(|row| &*row.key == key)
    }

    /// What a column of a row holds.
    pub(crate) fn text(&self, table: &str, row: &str, column: &str) -> String {
        let row = self.row(table, row).unwrap_or_else(|| panic!("no {row}"));
        let value = row.get(column).map(ToString::to_string).unwrap_or_default();
        value.trim_matches('"').to_owned()
    }

    /// Each route of a table as prefix, next hop and port.
    pub(crate) fn routes(&self, table: &str) -> Vec<String> {
        let text = |row: &DesiredRow, column| {
            row.get(column)
                .and_then(|datum| datum.as_str())
                .unwrap_or("-")
                .to_owned()
        };
        let rows = self.0.desired().rows("Logical_Router_Static_Route");
        let of_table = rows.filter(|row| text(row, "route_table") == table);
        let mut routes: Vec<String> = of_table
            .map(|row| {
                ["ip_prefix", "nexthop", "output_port"]
                    .map(|column| text(row, column))
                    .join(" ")
            })
            .collect();
        routes.sort();
        routes
    }

    /// What is told of the way of a pod to an address: how it ends, and to which port OVN delivers it.
    pub(crate) fn way(&self, pod: &str, to: &str) -> (Verdict, Option<String>) {
        let (namespace, name) = pod.split_once('/').unwrap();
        let told = self.0.explain_path(&PathQuestion {
            from: PodKey::new(namespace, name),
            to: PathTarget::Address(to.parse().unwrap()),
            protocol: None,
            port: None,
        });
        let told = told.unwrap();
        let [way] = &*told.ways else { panic!("{told:?}") };
        (way.verdict, way.ovn[0].ports.first().cloned())
    }

    /// The addresses of a port, as its facts tell them.
    pub(crate) fn ips(&self, port: &str) -> Vec<String> {
        self.facts(port)
            .map_or_else(Vec::new, |facts| facts.ips.iter().map(ToString::to_string).collect())
    }

    pub(crate) fn facts(&self, port: &str) -> Option<PortFacts> {
        let ids = self.row(LSP, port)?.get("external_ids")?;
        Some(PortFacts::from_external_ids(|key| ids.get_str(key)).unwrap())
    }

    /// What hosts are told of a service.
    pub(crate) fn service_facts(&self, service: &str) -> Option<ServiceFacts> {
        let ids = self.row(LSP, &format!("{}_service", service.replace('/', "_")))?;
        let ids = ids.get("external_ids")?;
        Some(ServiceFacts::from_external_ids(|key| ids.get_str(key)).unwrap())
    }

    /// The backends that a node's switch has for a frontend by TCP; none if it does not know it.
    pub(crate) fn on(&self, node: &str, frontend: &str) -> Option<String> {
        self.on_slice(&format!("default-{node}"), frontend)
    }

    /// The same of what a node has of a VPC, by the name that `part` gives it.
    pub(crate) fn on_slice(&self, part: &str, frontend: &str) -> Option<String> {
        let switch = row_uuid(None, "Logical_Switch", &format!("vpc-{part}"));
        let balancers = balancers(self.0.desired(), switch);
        let of_tcp = balancers
            .iter()
            .filter(|row| row.get("protocol").unwrap().as_str() == Some("tcp"));
        let mut found = of_tcp.filter_map(|row| vips_of(row).remove(frontend));
        let backends = found.next();
        assert_eq!(found.next(), None, "{frontend} is there twice");
        backends
    }

    /// The names of a service's load balancers.
    pub(crate) fn balancers(&self) -> Vec<String> {
        let rows = self.0.desired().sorted_rows(BALANCER);
        rows.iter().map(|row| row.key.to_string()).collect()
    }

    /// The networks of a node's router port.
    pub(crate) fn slice(&self, node: &str) -> Vec<String> {
        self.row("Logical_Router_Port", &format!("vpc-default-{node}"))
            .map_or_else(Vec::new, |row| {
                row.get("networks")
                    .unwrap()
                    .atoms()
                    .iter()
                    .map(|atom| atom.as_str().unwrap().to_owned())
                    .collect()
            })
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        self.0.problems().map(ToString::to_string).collect()
    }

    /// All rows and links as text, UUIDs replaced by the keys of the rows.
    pub(crate) fn dump(&self) -> String {
        let desired = self.0.desired();
        let keys: std::collections::HashMap<String, String> = desired
            .tables()
            .flat_map(|table| desired.rows(table))
            .map(|row| (row.uuid.to_string(), format!("<{} {}>", row.table, row.key)))
            .collect();
        let mut text = String::new();
        for table in desired.tables() {
            for row in desired.sorted_rows(table) {
                writeln!(text, "{table} {} of {}", row.key, row.owner).unwrap();
                for (column, datum) in &row.columns {
                    writeln!(text, "  {column}: {datum}").unwrap();
                }
            }
        }
        let mut links: Vec<String> = Vec::new();
        for (table, parent, column) in desired.link_columns() {
            for (atom, units) in desired.links(table, parent, column) {
                let units: Vec<String> = units.iter().map(ToString::to_string).collect();
                let key = |uuid: &str| keys.get(uuid).cloned().unwrap_or_else(|| uuid.to_owned());
                let (parent, value) = (key(&parent.to_string()), key(&atom.to_string()));
                links.push(format!("{parent}.{column} += {value} of {}\n", units.join(", ")));
            }
        }
        links.sort();
        text.extend(links);
        text
    }
}
