//! Which workloads may be in a VPC.

use meridian_compile::{Config, Settings};
use meridian_model::{Key, Namespace, NetworkAttachment, Node, Pod, Scope, Vpc};

use crate::support::Lab;

fn blue(scope: Scope) -> Vpc {
    Vpc::test("blue", ["10.8.0.0/16"]).only_for(scope)
}

/// A pod and a virtual machine in a namespace of a VPC for some of both.
fn lab(scope: Scope) -> Lab {
    let config = Config::new(Settings {
        cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap()],
        ..Settings::default()
    });
    Lab::new(config.unwrap())
        .with(Node::test("a"))
        .with(blue(scope))
        .with(Namespace::test("sky").in_vpc("blue"))
        .with(Pod::test("sky", "pod").on("a"))
        .with(Pod::test("sky", "vm").on("a").of_virtual_machine())
}

const NO_MACHINE: &str = "pod/sky/pod: metadata.namespace: VPC blue is only for virtual machines (spec.scope is VirtualMachines), and this \
                          pod is none, for want of the label kubevirt.io=virt-launcher: move the namespace to another VPC, or set \
                          spec.scope of this one to All";
const MACHINE: &str = "pod/sky/vm: metadata.namespace: VPC blue is only for pods that are no virtual machines (spec.scope is Pods), and this \
                       one is, by its label kubevirt.io=virt-launcher: move the namespace to another VPC, or set spec.scope of this \
                       one to All";

fn has_port(lab: &Lab, pod: &str) -> bool {
    !lab.ips(&format!("sky_{pod}")).is_empty()
}

#[test]
fn a_vpc_takes_what_it_is_for_and_whatever_else_is_in_its_namespaces_waits() {
    for (scope, pod, vm, problems) in [
        (Scope::All, true, true, &[][..]),
        (Scope::Pods, true, false, &[MACHINE]),
        (Scope::VirtualMachines, false, true, &[NO_MACHINE]),
    ] {
        let lab = lab(scope);
        assert_eq!((has_port(&lab, "pod"), has_port(&lab, "vm")), (pod, vm), "{scope:?}");
        assert_eq!(lab.problems(), problems);
    }
}

#[test]
fn who_waits_is_let_in_when_the_scope_or_the_pod_changes() {
    let mut lab = lab(Scope::VirtualMachines);
    lab.apply(Pod::test("sky", "pod").on("a").of_virtual_machine());
    assert!(has_port(&lab, "pod") && lab.problems().is_empty());
    lab.apply(Pod::test("sky", "pod").on("a"));
    assert!(!has_port(&lab, "pod"));
    lab.apply(blue(Scope::All));
    assert!(has_port(&lab, "pod") && lab.problems().is_empty());
}

#[test]
fn who_has_addresses_stays_whatever_the_scope_becomes() {
    let mut lab = lab(Scope::All);
    lab.apply(
        Pod::test("sky", "vm")
            .on("a")
            .of_virtual_machine()
            .with_ips(["10.8.0.7"]),
    );
    lab.apply(blue(Scope::Pods));
    assert_eq!(lab.ips("sky_vm"), ["10.8.0.7/24"]);
    assert!(lab.problems().is_empty());
    lab.delete(Key::pod("sky", "vm"));
    lab.apply(Pod::test("sky", "vm").on("a").of_virtual_machine());
    assert_eq!(lab.problems(), [MACHINE]);
}

#[test]
fn further_interfaces_are_for_the_same_workloads() {
    let green = |scope| Vpc::test("green", ["10.9.0.0/16"]).open_to(["blue"]).only_for(scope);
    let attached = |name: &str| Pod::test("sky", name).on("a").attached("sky", "storage");
    let mut lab = lab(Scope::All)
        .with(green(Scope::VirtualMachines))
        .with(NetworkAttachment::test("sky", "storage", "green"))
        .with(attached("pod"))
        .with(attached("vm").of_virtual_machine());
    assert_eq!((has_port(&lab, "pod@net1"), has_port(&lab, "vm@net1")), (false, true));
    let why = "pod/sky/pod: metadata.annotations[k8s.v1.cni.cncf.io/networks]: entry 1, sky/storage as net1: VPC green is only for virtual \
               machines (spec.scope is VirtualMachines), and this pod is none, for want of the label kubevirt.io=virt-launcher: name \
               another definition, or set spec.scope of this one to All";
    assert_eq!(lab.problems(), [why]);
    assert!(has_port(&lab, "pod"), "the first interface is there all the same");
    lab.apply(green(Scope::All));
    assert!(has_port(&lab, "pod@net1") && lab.problems().is_empty());
}
