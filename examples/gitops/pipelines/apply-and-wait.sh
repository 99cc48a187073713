#!/bin/sh
# Applies a kustomization or a file, waits for the end of the Executions in it, and prints their outputs.
# Usage: apply-and-wait.sh FOLDER-OR-FILE [SECONDS]     Needs only kubectl; works in the current namespace of the kubeconfig.
# Exit codes: 0 all have completed, 1 one has failed, was stopped or cannot start (it prints why), 124 timeout.
set -eu
target=${1:?FOLDER-OR-FILE is missing}
seconds=${2:-600}
from=--filename
[ ! -f "$target/kustomization.yaml" ] || from=--kustomize

applied=$(kubectl apply --server-side --field-manager=pipeline "$from=$target" --output=name)
printf '%s\n' "$applied"
executions=$(printf '%s\n' "$applied" | grep '^execution\.chaingraph\.dev/' || :)
[ -n "$executions" ] || exit 0

# A status counts once it has observed the current generation: the failure before a retry must not count for it.
columns='name:.metadata.name,generation:.metadata.generation,seen:.status.observedGeneration'
columns=$columns',ready:.status.conditions[?(@.type=="Ready")].status,stalled:.status.conditions[?(@.type=="Stalled")].status'
why='{.metadata.name}: {.status.phase}: {.status.conditions[?(@.type=="Succeeded")].message}{"\n"}'

deadline=$(($(date +%s) + seconds))
while :; do
  # shellcheck disable=SC2086
  now=$(kubectl get $executions --no-headers --output=custom-columns="$columns")
  failed=$(printf '%s\n' "$now" | awk '$2 == $3 && $5 == "True" { print $1 }')
  waiting=$(printf '%s\n' "$now" | awk '$2 != $3 || $4 != "True" { print $1 }')
  for name in $failed; do kubectl get execution "$name" --output=jsonpath="$why" >&2; done
  [ -z "$failed" ] || exit 1
  [ -n "$waiting" ] || break
  if [ "$(date +%s)" -ge "$deadline" ]; then
    echo "not within $seconds s:" >&2
    for name in $waiting; do kubectl get execution "$name" --output=jsonpath="$why" >&2; done
    exit 124
  fi
  sleep 1
done

for each in $executions; do
  kubectl get "$each" --output=jsonpath='{.metadata.name}: {.status.outputs}{"\n"}'
done
