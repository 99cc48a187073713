-- Cannot be undone, except by a retry.
obj.spec.stop = true
obj.spec.stopReason = "stopped in Argo CD"
return obj
