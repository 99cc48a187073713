"""The local cluster: etcd, kube-apiserver, kube-controller-manager, PostgreSQL, gateway, operator and workers, all as
processes of one supervisor.
"""
