// What the conformance runs say of their results. No dependencies, so that it builds anywhere.
module meridian.dev/integration/conformance/report

go 1.26.0
