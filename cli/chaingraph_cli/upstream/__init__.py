"""Finds or builds etcd, kube-apiserver, kube-controller-manager and kubectl."""
