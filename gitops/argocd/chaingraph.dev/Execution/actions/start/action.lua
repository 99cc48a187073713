-- Starts what was created paused.
obj.spec.paused = false
return obj
