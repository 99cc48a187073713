// Asks the programs that GitOps tools are made of about objects: Argo CD's Lua evaluator, its diff and its sync engine,
// and the kstatus and server-side apply libraries of Flux (Helm's waiter is the same kstatus).
//
// tests/gitops/conftest.py starts it: one request a line comes in as JSON, and one answer a line goes out. Requests
// that need a cluster use $KUBECONFIG. The file of Argo CD's settings is given as the only argument.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// object is a Kubernetes object, whose whole numbers are int64 as the libraries want them.
type object map[string]any

func (o *object) UnmarshalJSON(text []byte) error {
	found := map[string]any{}
	err := utiljson.Unmarshal(text, &found)
	*o = found
	return err
}

// request is one line of the input. What a field means depends on Do.
type request struct {
	Do         string
	Object     object
	Live       object
	Name       string
	Parameters map[string]string
	Manifests  []object
	Namespace  string
	App        string
	Prune      bool
	ServerSide bool
	Replace    bool
	Force      bool
	Seconds    float64
}

func (r request) object() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: r.Object}
}

func (r request) manifests() []*unstructured.Unstructured {
	found := make([]*unstructured.Unstructured, 0, len(r.Manifests))
	for _, each := range r.Manifests {
		found = append(found, &unstructured.Unstructured{Object: each})
	}
	return found
}

// answer is one line of the output.
type answer struct {
	Result any    `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: evaluators ARGOCD-CM.yaml")
		os.Exit(2)
	}
	argo, err := readArgo(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	out := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		if err := out.Encode(answered(argo, lines.Bytes())); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func answered(argo *argo, line []byte) answer {
	var asked request
	if err := json.Unmarshal(line, &asked); err != nil {
		return answer{Error: err.Error()}
	}
	result, err := argo.do(asked)
	if err != nil {
		return answer{Result: result, Error: err.Error()}
	}
	return answer{Result: result}
}

func (a *argo) do(asked request) (any, error) {
	switch asked.Do {
	case "argo-health":
		return a.health(asked.object())
	case "argo-actions":
		return a.actions(asked.object())
	case "argo-action":
		return a.action(asked.object(), asked.Name, asked.Parameters)
	case "argo-diff":
		return a.diff(asked)
	case "argo-sync":
		return a.sync(asked)
	case "argo-tree":
		return a.tree(asked)
	case "kstatus":
		return kstatus(asked.object())
	case "strict":
		return strict(asked.Object)
	case "flux-apply":
		return fluxApply(asked)
	case "flux-wait":
		return fluxWait(asked)
	}
	return nil, fmt.Errorf("unknown request %q", asked.Do)
}
