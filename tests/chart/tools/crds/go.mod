// Modules that have the CustomResourceDefinitions of other projects, of which the chart can make objects. Only downloaded,
// never compiled; pinned by go.sum.
module chaingraph.dev/tests/crds

go 1.26.0

require (
	github.com/cert-manager/cert-manager v1.21.2
	github.com/kedacore/keda/v2 v2.21.0
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
