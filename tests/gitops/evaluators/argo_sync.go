package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/cache"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync/common"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/tracing"
	argocommon "github.com/argoproj/argo-cd/v3/common"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	argoutil "github.com/argoproj/argo-cd/v3/util/argo"
	argodiff "github.com/argoproj/argo-cd/v3/util/argo/diff"
	"github.com/argoproj/argo-cd/v3/util/argo/normalizers"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
		err := tracker.SetAppInstance(each, argocommon.LabelKeyAppInstance, asked.App, asked.Namespace, tracking, "")
		if err != nil {
			return nil, err
		}
	}
	return manifests, nil
}

func appOf(found *unstructured.Unstructured) string {
	return tracker.GetAppName(found, argocommon.LabelKeyAppInstance, tracking, "")
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
		WithTracking(argocommon.LabelKeyAppInstance, string(tracking)).
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

// sync does one sync operation of an app, to its end: waves, hooks, health, prune. As Argo CD's controller does, it looks at
// the cluster anew for each step of the operation, and carries on from the state of the step before.
func (a *argo) sync(asked request) ([]object, error) {
	manifests, err := track(asked)
	if err != nil {
		return nil, err
	}
	cluster, config, err := a.cluster(asked.Namespace)
	if err != nil {
		return nil, err
	}
	if err := cluster.EnsureSynced(); err != nil {
		return nil, err
	}
	defer cluster.Invalidate()
	phase, message, results := common.OperationRunning, "", []common.ResourceSyncResult{}
	started := metav1.Now()
	deadline := time.Now().Add(time.Duration(asked.Seconds * float64(time.Second)))
	for !phase.Completed() {
		if time.Now().After(deadline) {
			return told(results), fmt.Errorf("not within %v s: %s", asked.Seconds, message)
		}
		initial := sync.WithInitialState(phase, message, results, started)
		if phase, message, results, err = a.step(asked, manifests, cluster, config, initial); err != nil {
			return nil, err
		}
		if !phase.Completed() {
			time.Sleep(200 * time.Millisecond)
		}
	}
	if phase == common.OperationError {
		return told(results), errors.New(message)
	}
	return told(results), nil
}

func (a *argo) step(
	asked request, manifests []*unstructured.Unstructured, cluster cache.ClusterCache, config *rest.Config, initial sync.SyncOpt,
) (common.OperationPhase, string, []common.ResourceSyncResult, error) {
	live, err := cluster.GetManagedLiveObjs(manifests, func(found *cache.Resource) bool { return found.Info == asked.App })
	if err != nil {
		return "", "", nil, err
	}
	context, cleanup, err := sync.NewSyncContext(
		"0123456789abcdef", sync.Reconcile(manifests, live, asked.Namespace, cluster), config, config,
		&kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}, asked.Namespace,
		initial,
		sync.WithOperationSettings(false, asked.Prune, asked.Force, false),
		sync.WithReplace(asked.Replace),
		sync.WithServerSideApply(asked.ServerSide),
		sync.WithServerSideApplyManager("argocd-controller"),
		sync.WithHealthOverride(lua.ResourceHealthOverrides(a.overrides)),
		sync.WithLogr(logr.Discard()),
	)
	if err != nil {
		return "", "", nil, err
	}
	defer cleanup()
	context.Sync()
	phase, message, results := context.GetState()
	return phase, message, results, nil
}

func told(results []common.ResourceSyncResult) []object {
	found := []object{}
	for _, each := range results {
		found = append(found, object{
			"kind": each.ResourceKey.Kind, "name": each.ResourceKey.Name, "status": string(each.Status),
			"message": each.Message, "hook": string(each.HookType), "phase": string(each.HookPhase),
		})
	}
	return found
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
	found := []object{}
	cluster.IterateHierarchyV2(roots, func(each *cache.Resource, _ map[kube.ResourceKey]*cache.Resource) bool {
		status := ""
		if each.Resource != nil {
			if of, err := a.health(each.Resource); err == nil && of != nil {
				status = string(of.Status)
			}
		}
		found = append(found, object{
			"kind": each.Ref.Kind, "name": each.Ref.Name, "app": each.Info, "health": status,
		})
		return true
	})
	return found, nil
}
