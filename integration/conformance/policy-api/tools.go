//go:build tools

// Package tools pins the conformance tests of the Kubernetes Network Policy API.
package tools

import _ "sigs.k8s.io/network-policy-api/conformance/tests"
