-- The nodes in flight end, no other one begins.
obj.spec.paused = true
return obj
