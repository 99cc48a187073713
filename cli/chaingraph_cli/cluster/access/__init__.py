"""Access to a local cluster: certificates, kubeconfigs, the API and the address of the gateway."""
