package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/health"
	applicationpkg "github.com/argoproj/argo-cd/v3/pkg/apiclient/application"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const customizations = "resource.customizations."

// argo is an Argo CD with the settings of one argocd-cm.
type argo struct {
	overrides map[string]v1alpha1.ResourceOverride
}

// readArgo reads the customizations out of an argocd-cm, as Argo CD does: one key for each kind and aspect.
func readArgo(path string) (*argo, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var settings corev1.ConfigMap
	if err := yaml.UnmarshalStrict(text, &settings); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	found := &argo{overrides: map[string]v1alpha1.ResourceOverride{}}
	for key, value := range settings.Data {
		aspect, kind, ok := strings.Cut(strings.TrimPrefix(key, customizations), ".")
		if !strings.HasPrefix(key, customizations) || !ok {
			return nil, fmt.Errorf("%s: unknown key %q", path, key)
		}
		kind = strings.Replace(kind, "_", "/", 1)
		override := found.overrides[kind]
		switch aspect {
		case "health":
			override.HealthLua = value
		case "actions":
			override.Actions = value
		default:
			return nil, fmt.Errorf("%s: unknown aspect %q in %q", path, aspect, key)
		}
		found.overrides[kind] = override
	}
	return found, nil
}

func (a *argo) health(of *unstructured.Unstructured) (*health.HealthStatus, error) {
	return health.GetResourceHealth(of, lua.ResourceHealthOverrides(a.overrides))
}

func (a *argo) actions(of *unstructured.Unstructured) ([]v1alpha1.ResourceAction, error) {
	vm := lua.VM{ResourceOverrides: a.overrides}
	scripts, err := vm.GetResourceActionDiscovery(of)
	if err != nil {
		return nil, err
	}
	found, err := vm.ExecuteResourceActionDiscovery(of, scripts)
	slices.SortFunc(found, func(one, other v1alpha1.ResourceAction) int { return strings.Compare(one.Name, other.Name) })
	return found, err
}

// action returns the objects that Argo CD would write, each with what it would do with it.
func (a *argo) action(on *unstructured.Unstructured, name string, parameters map[string]string) ([]object, error) {
	vm := lua.VM{ResourceOverrides: a.overrides}
	found, err := vm.GetResourceAction(on, name)
	if err != nil {
		return nil, err
	}
	given := []*applicationpkg.ResourceActionParameters{}
	for key, value := range parameters {
		given = append(given, &applicationpkg.ResourceActionParameters{Name: &key, Value: &value})
	}
	impacted, err := vm.ExecuteResourceAction(on, found.ActionLua, given)
	if err != nil {
		return nil, err
	}
	results := []object{}
	for _, each := range impacted {
		results = append(results, object{"operation": string(each.K8SOperation), "object": each.UnstructuredObj.Object})
	}
	return results, nil
}
