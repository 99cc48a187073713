package main

import (
	"context"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/ssa"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

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
		Group: "kustomize.toolkit.fluxcd.io",
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

// fluxApply applies as a Kustomization does, and tells of each object what it did.
func fluxApply(asked request) (map[string]string, error) {
	manager, err := flux()
	if err != nil {
		return nil, err
	}
	options := ssa.DefaultApplyOptions()
	options.Force = asked.Force
	changes, err := manager.ApplyAllStaged(context.Background(), fluxManifests(manager, asked), options)
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
