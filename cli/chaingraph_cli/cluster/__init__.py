"""The cluster on a laptop: etcd, kube-apiserver, kube-controller-manager, PostgreSQL, an operator and workers,
all as local processes of one supervisor.

`chaingraph up`, `down` and `status` drive it; the tests start its control plane and PostgreSQL by the same code.
"""
