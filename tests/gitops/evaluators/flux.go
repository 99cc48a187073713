package main

import (
	"context"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/normalize"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const fluxGroup = "kustomize.toolkit.fluxcd.io"

func kstatus(of *unstructured.Unstructured) (object, error) {
	found, err := status.Compute(of)
	if err != nil {
		return nil, err
	}
	return object{"status": string(found.Status), "message": found.Message}, nil
}

// flux is what kustomize-controller applies and waits with.
func flux() (*ssa.ResourceManager, error) {
	config, err := clusterConfig()
	if err != nil {
		return nil, err
	}
	api, err := client.New(config, client.Options{})
	if err != nil {
		return nil, err
	}
	return ssa.NewResourceManager(api, polling.NewStatusPoller(api, api.RESTMapper(), polling.Options{}), ssa.Owner{
		Field: "kustomize-controller",
		Group: fluxGroup,
	}), nil
}

func fluxManifests(manager *ssa.ResourceManager, asked request) []*unstructured.Unstructured {
	manifests := asked.manifests()
	for _, each := range manifests {
		each.SetNamespace(asked.Namespace)
	}
	manager.SetOwnerLabels(manifests, asked.App, asked.Namespace)
	return manifests
}

// fluxOptions are those of kustomize-controller. It takes away fields that only kubectl's managers own, to undo what people did
// by hand, unless the manifest says `ssa: Merge`.
func fluxOptions() ssa.ApplyOptions {
	options := ssa.DefaultApplyOptions()
	options.ExclusionSelector = map[string]string{fluxGroup + "/reconcile": "disabled", fluxGroup + "/ssa": "Ignore"}
	options.IfNotPresentSelector = map[string]string{fluxGroup + "/ssa": "IfNotPresent"}
	options.ForceSelector = map[string]string{fluxGroup + "/force": "enabled"}
	options.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{corev1.LastAppliedConfigAnnotation},
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "kustomize-controller", OperationType: metav1.ManagedFieldsOperationUpdate},
		},
		Exclusions: map[string]string{fluxGroup + "/ssa": "Merge"},
	}
	return options
}

// fluxApply applies as a Kustomization does, and tells of each object what it did.
func fluxApply(asked request) (map[string]string, error) {
	manager, err := flux()
	if err != nil {
		return nil, err
	}
	manifests := fluxManifests(manager, asked)
	if err := normalize.UnstructuredList(manifests); err != nil {
		return nil, err
	}
	changes, err := manager.ApplyAllStaged(context.Background(), manifests, fluxOptions())
	if err != nil {
		return nil, err
	}
	told := map[string]string{}
	for _, each := range changes.Entries {
		told[each.Subject] = each.Action.String()
	}
	return told, nil
}

// fluxWait waits as a Kustomization with `wait: true`: until all are ready, or one has failed.
func fluxWait(asked request) (string, error) {
	manager, err := flux()
	if err != nil {
		return "", err
	}
	return "", manager.Wait(fluxManifests(manager, asked), ssa.WaitOptions{
		Interval: 200 * time.Millisecond,
		Timeout:  time.Duration(asked.Seconds * float64(time.Second)),
		FailFast: true,
	})
}
