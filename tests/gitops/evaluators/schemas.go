package main

import (
	"encoding/json"
	"fmt"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/yaml"
)

// strict reads an object of Argo CD or Flux into their own types. A field that they do not have is an error.
func strict(manifest object) (bool, error) {
	kinds := map[string]any{
		"argoproj.io/v1alpha1/Application":             &v1alpha1.Application{},
		"argoproj.io/v1alpha1/ApplicationSet":          &v1alpha1.ApplicationSet{},
		"helm.toolkit.fluxcd.io/v2/HelmRelease":        &helmv2.HelmRelease{},
		"kustomize.toolkit.fluxcd.io/v1/Kustomization": &kustomizev1.Kustomization{},
		"source.toolkit.fluxcd.io/v1/GitRepository":    &sourcev1.GitRepository{},
	}
	kind := fmt.Sprintf("%v/%v", manifest["apiVersion"], manifest["kind"])
	into, known := kinds[kind]
	if !known {
		return false, fmt.Errorf("unknown kind %s", kind)
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		return false, err
	}
	return true, yaml.UnmarshalStrict(text, into)
}
