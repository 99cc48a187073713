package main

import (
	"context"
	"fmt"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/cache"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/engine"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/argo-cd/v3/common"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	argoutil "github.com/argoproj/argo-cd/v3/util/argo"
	argodiff "github.com/argoproj/argo-cd/v3/util/argo/diff"
	"github.com/argoproj/argo-cd/v3/util/argo/normalizers"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const tracking = v1alpha1.TrackingMethodAnnotation

var tracker = argoutil.NewResourceTracking()

func clusterConfig() (*rest.Config, error) {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 100, 200
	return config, nil
}

// track marks manifests as belonging to an app, as Argo CD does before it compares or applies them.
func track(asked request) ([]*unstructured.Unstructured, error) {
	manifests := asked.manifests()
	for _, each := range manifests {
		each.SetNamespace(asked.Namespace)
		err := tracker.SetAppInstance(each, common.LabelKeyAppInstance, asked.App, asked.Namespace, tracking, "")
		if err != nil {
			return nil, err
		}
	}
	return manifests, nil
}

func appOf(found *unstructured.Unstructured) string {
	return tracker.GetAppName(found, common.LabelKeyAppInstance, tracking, "")
}

// diff tells whether Argo CD shows a live object as out of sync with its manifest.
func (a *argo) diff(asked request) (bool, error) {
	manifests, err := track(request{Manifests: []object{asked.Object}, Namespace: asked.Namespace, App: asked.App})
	if err != nil {
		return false, err
	}
	// Argo CD's default: the status of nothing is compared.
	overrides := map[string]v1alpha1.ResourceOverride{
		"*/*": {IgnoreDifferences: v1alpha1.OverrideIgnoreDiff{JSONPointers: []string{"/status"}}},
	}
	config, err := argodiff.NewDiffConfigBuilder().
		WithDiffSettings(nil, overrides, true, normalizers.IgnoreNormalizerOpts{}).
		WithTracking(common.LabelKeyAppInstance, string(tracking)).
		WithNoCache().
		WithLogger(logr.Discard()).
		Build()
	if err != nil {
		return false, err
	}
	var live *unstructured.Unstructured
	if asked.Live != nil {
		live = &unstructured.Unstructured{Object: asked.Live}
	}
	found, err := argodiff.StateDiff(live, manifests[0], config)
	return found.Modified, err
}

// onlyOurs keeps the cluster's cache to what the tests apply.
type onlyOurs struct{}

func (onlyOurs) IsExcludedResource(group, kind, _ string) bool {
	return group != "chaingraph.dev" && (group != "" || kind != "ConfigMap")
}

func (a *argo) cluster(namespace string) (cache.ClusterCache, *rest.Config, error) {
	config, err := clusterConfig()
	if err != nil {
		return nil, nil, err
	}
	return cache.NewClusterCache(config,
		cache.SetNamespaces([]string{namespace}),
		cache.SetLogr(logr.Discard()),
		cache.SetSettings(cache.Settings{
			ResourcesFilter:        onlyOurs{},
			ResourceHealthOverride: lua.ResourceHealthOverrides(a.overrides),
		}),
		cache.SetPopulateResourceInfoHandler(func(found *unstructured.Unstructured, _ bool) (any, bool) {
			return appOf(found), true
		}),
	), config, nil
}

// sync does one sync operation of an app and waits for its end: waves, hooks, health, prune.
func (a *argo) sync(asked request) ([]object, error) {
	manifests, err := track(asked)
	if err != nil {
		return nil, err
	}
	cluster, config, err := a.cluster(asked.Namespace)
	if err != nil {
		return nil, err
	}
	gitops := engine.NewEngine(config, cluster, engine.WithLogr(logr.Discard()))
	stop, err := gitops.Run()
	if err != nil {
		return nil, err
	}
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(asked.Seconds*float64(time.Second)))
	defer cancel()
	results, err := gitops.Sync(ctx, manifests,
		func(found *cache.Resource) bool { return found.Info == asked.App },
		"revision", asked.Namespace,
		sync.WithPrune(asked.Prune),
		sync.WithOperationSettings(false, asked.Prune, asked.Force, false),
		sync.WithReplace(asked.Replace),
		sync.WithServerSideApply(asked.ServerSide),
		sync.WithServerSideApplyManager("argocd-controller"),
		sync.WithHealthOverride(lua.ResourceHealthOverrides(a.overrides)),
		sync.WithLogr(logr.Discard()),
	)
	told := []object{}
	for _, each := range results {
		told = append(told, object{
			"kind": each.ResourceKey.Kind, "name": each.ResourceKey.Name, "status": string(each.Status),
			"message": each.Message, "hook": string(each.HookType), "phase": string(each.HookPhase),
		})
	}
	return told, err
}

// tree lists what Argo CD shows below the objects of an app: parents before their children.
func (a *argo) tree(asked request) ([]object, error) {
	cluster, _, err := a.cluster(asked.Namespace)
	if err != nil {
		return nil, err
	}
	if err := cluster.EnsureSynced(); err != nil {
		return nil, err
	}
	defer cluster.Invalidate()
	roots := []kube.ResourceKey{}
	for key := range cluster.FindResources(asked.Namespace, func(found *cache.Resource) bool {
		return found.Info == asked.App
	}) {
		roots = append(roots, key)
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("no resource belongs to %q", asked.App)
	}
	told := []object{}
	cluster.IterateHierarchyV2(roots, func(found *cache.Resource, _ map[kube.ResourceKey]*cache.Resource) bool {
		status := ""
		if found.Resource != nil {
			if of, err := a.health(found.Resource); err == nil && of != nil {
				status = string(of.Status)
			}
		}
		told = append(told, object{
			"kind": found.Ref.Kind, "name": found.Ref.Name, "app": found.Info, "health": status,
		})
		return true
	})
	return told, nil
}
