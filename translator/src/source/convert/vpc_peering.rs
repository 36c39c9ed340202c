//! What one side of a peering says.

use meridian_api::name::is_vpc;
use meridian_api::vpc_peering::VpcPeering as Given;
use meridian_model::VpcPeering;

use super::{FieldError, Meta};

pub(super) fn vpc_peering(peering: Given) -> Result<VpcPeering, FieldError> {
    let meta = Meta::read(peering.metadata)?;
    let (vpc, peer) = (peering.spec.vpc, peering.spec.peer);
    // The API server refuses these, but nobody else does.
    for (field, name) in [("spec.vpc", &vpc), ("spec.peer", &peer)] {
        if !is_vpc(name) {
            let message = format!(
                "{name:?} cannot be a peer: name a Vpc, which has at most 63 characters, of a-z, 0-9 and -; the VPC default is \
                 no object that could agree"
            );
            return Err(FieldError::new(field, message));
        }
    }
    if vpc == peer {
        let message = format!("VPC {vpc} cannot be a peer of itself: name another");
        return Err(FieldError::new("spec.peer", message));
    }
    Ok(VpcPeering {
        name: meta.name,
        deleting: meta.deleting,
        vpc: vpc.into(),
        peer: peer.into(),
    })
}

#[cfg(test)]
mod tests {
    use meridian_model::Object;
    use serde_json::{Value, json};

    use crate::source::convert::from_value;

    fn value(spec: &Value) -> Value {
        json!({
            "apiVersion": "meridian.dev/v1alpha1", "kind": "VpcPeering", "spec": spec,
            "metadata": {"name": "to-green", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        })
    }

    #[test]
    fn a_peering_is_of_two_vpcs_that_can_be() {
        let Ok(Some(Object::VpcPeering(read))) = from_value(value(&json!({"vpc": "blue", "peer": "green"}))) else {
            panic!("no peering");
        };
        assert_eq!((&*read.name, read.deleting), ("to-green", true));
        assert_eq!((&*read.vpc, &*read.peer), ("blue", "green"));
        for (vpc, peer, said) in [
            ("default", "green", "spec.vpc: \"default\" cannot be a peer: name a Vpc"),
            ("blue", "a.b", "spec.peer: \"a.b\" cannot be a peer: name a Vpc"),
            (
                "blue",
                "blue",
                "spec.peer: VPC blue cannot be a peer of itself: name another",
            ),
        ] {
            let error = from_value(value(&json!({"vpc": vpc, "peer": peer})))
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(&format!("vpcpeering/to-green: {said}")), "{error}");
        }
    }
}
